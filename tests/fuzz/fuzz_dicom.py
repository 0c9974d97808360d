"""DICOM files with bytes and tags changed: frames are pictures or rejects, which name nobody."""

import io
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from changed_bytes import changed_anywhere, changed_bytes
from fuzz_outcomes import check_line
from fuzz_target import Runner, check
from PIL import Image

from fo1_data.corpus.dicom.frames import read_dicom_frame
from fo1_data.corpus.dicom.listing import DicomFrames
from fo1_data.corpus.dicom.settings import DicomSettings
from fo1_data.corpus.images import InputLimits
from fo1_data.errors import InputReject
from schemas.corpus import CorpusImage
from schemas.images import Reject

LIMITS = InputLimits(max_pixels=2**16, max_bytes=2**18)
# Of the patient, in every file.
_NAMES = ("Jane", "MRN-4711")
_MOST_FRAMES = 5


@contextmanager
def dicom(folder: Path) -> Iterator[Runner]:
    samples = _samples(folder)
    path = folder / "a.dcm"

    def run(chance: random.Random) -> str:
        one, other = chance.choice(samples), chance.choice(samples)
        change = chance.choice((changed_anywhere, lambda data, by: changed_bytes(data, other, by), _tagged))
        path.write_bytes(change(one, chance))
        settings = DicomSettings(
            allow_burned_in_text=chance.random() < 0.8, keep_paths=False, max_frames=_MOST_FRAMES
        )
        first = shown_frames(path, settings)
        if chance.random() < 0.1:
            check(first == shown_frames(path, settings), "shown in two ways")
        return "pictures" if any(size for size, _ in first) else "rejected"

    yield run


def shown_frames(path: Path, settings: DicomSettings) -> list[tuple[tuple[int, int] | None, str]]:
    """Of each frame the size of its picture and what is said of it."""
    shown: list[tuple[tuple[int, int] | None, str]] = []
    frames = DicomFrames(settings, LIMITS.max_bytes)
    if not frames.takes(str(path)):
        return shown
    for item in frames.list(CorpusImage(uri=str(path))):
        if isinstance(item, Reject):
            check(bool(item.reason), "a reject without a reason")
            shown.append((None, _said(item.message)))
            continue
        try:
            data, meta = read_dicom_frame(item, LIMITS, settings)
        except InputReject as reject:
            check(bool(reject.reason), "a reject without a reason")
            shown.append((None, _said(reject.message)))
            continue
        shown.append((_size_of(data), _said(json.dumps(meta, allow_nan=False))))
    check(len(shown) <= _MOST_FRAMES, len(shown), "frames")
    return shown


def _said(text: str) -> str:
    check_line(text)
    check(not any(name in text for name in _NAMES), "the patient is named:", text)
    return text


def _size_of(data: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
        width, height = picture.size
    check(0 < width * height <= LIMITS.max_pixels, width, height)
    return width, height


def _samples(folder: Path) -> list[bytes]:
    from dicom_files import write_dicom

    grey = np.arange(12 * 10, dtype=np.uint16).reshape(12, 10)
    colours: dict[str, Any] = {
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 0,
        "Columns": 4,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
    }
    palette: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name in ("Red", "Green", "Blue"):
        palette[f"{name}PaletteColorLookupTableDescriptor"] = [16, 0, 16]
        palette[f"{name}PaletteColorLookupTableData"] = np.arange(16, dtype=np.uint16).tobytes()
    kinds: list[tuple[np.ndarray, dict[str, Any]]] = [
        (grey, {}),
        (grey, {"WindowCenter": 50, "WindowWidth": 60, "RescaleSlope": 2, "RescaleIntercept": -7}),
        (np.stack([grey, grey + 5]), {"PixelPaddingValue": 3}),
        (grey.astype(np.int16) - 60, {"PhotometricInterpretation": "MONOCHROME1"}),
        (grey.astype(np.uint8), {}),
        (np.arange(12 * 12, dtype=np.uint8).reshape(12, 12), colours),
        ((grey % 16).astype(np.uint8), palette),
        (grey.astype(np.uint32) * 70_000, {}),
    ]
    return [
        write_dicom(folder / "sample.dcm", values, BurnedInAnnotation="NO", **tags).read_bytes()
        for values, tags in kinds
    ]


def _tagged(data: bytes, chance: random.Random) -> bytes:
    """One element of a short value says something else, and its length stays or not."""
    places = [at for at in range(132, len(data) - 12) if data[at : at + 2] == b"\x28\x00"]
    if not places:
        return data
    place = chance.choice(places)
    value = chance.choice(
        (
            b"\0\0",
            b"\1\0",
            b"\xff\xff",
            b"NaN ",
            b"1e400 ",
            b"1\\2 ",
            b"-1",
            b"Jane",
            b"9" * 40,
            chance.randbytes(2),
        )
    )
    length = int.from_bytes(data[place + 6 : place + 8], "little")
    told = len(value) if chance.random() < 0.8 else chance.randrange(2**16)
    return data[: place + 6] + told.to_bytes(2, "little") + value + data[place + 8 + length :]
