"""DICOM files for tests: those in the wheels of pydicom and pydicom-data, and small made-up ones."""

import io
from functools import cache
from pathlib import Path
from typing import Any

import data_store
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from fo1_data.corpus.dicom.settings import DicomSettings
from fo1_data.corpus.entry_bytes import read_encoded
from fo1_data.corpus.images import InputLimits
from fo1_data.corpus.readers import load_listing

ROOTS = (Path(pydicom.__file__).parent / "data", Path(data_store.__file__).parent)
WITH_TEXT = DicomSettings(allow_burned_in_text=True)


@cache
def dicom_path(name: str) -> Path:
    """A file of the wheels. Nothing is downloaded."""
    return next(path for root in ROOTS for path in sorted(root.rglob(name)))


def shown(
    path: Path, settings: DicomSettings = WITH_TEXT, frame: int = 1
) -> tuple[np.ndarray, dict[str, Any]]:
    """The picture of a frame, (H, W) or (H, W, 3), and what `meta` says of it."""
    entry = load_listing(str(path), dicom=settings).entries[frame - 1]
    encoded = read_encoded(entry, InputLimits(), settings)
    assert encoded.meta is not None
    return np.asarray(Image.open(io.BytesIO(encoded.data))).astype(int), encoded.meta["dicom"]


def write_dicom(path: Path, values: np.ndarray, **tags: Any) -> Path:
    """A CT image of `values` (H, W) or (frames, H, W) with more tags, uncompressed."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    bits = values.dtype.itemsize * 8
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID = generate_uid(), generate_uid()
    dataset.Modality, dataset.PatientName, dataset.PatientID = "CT", "Doe^Jane", "MRN-4711"
    dataset.Rows, dataset.Columns = values.shape[-2:]
    if values.ndim == 3:
        dataset.NumberOfFrames = len(values)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    dataset.PixelData = values.tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return path
