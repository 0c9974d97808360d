"""The encoded bytes of a corpus entry: a file, an archive member, a Parquet row, or a frame as PNG."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fo1_data.corpus.archives import read_member
from fo1_data.corpus.dicom.files import has_dicom_magic, refused
from fo1_data.corpus.dicom.frames import read_dicom_frame
from fo1_data.corpus.dicom.settings import DicomSettings
from fo1_data.corpus.frame_names import number_of_frame
from fo1_data.corpus.images import InputLimits
from fo1_data.corpus.parquet_images import is_parquet_row, read_parquet_image
from fo1_data.corpus.rejects import NAMED_OTHERWISE
from fo1_data.corpus.video.listing import is_video, read_frame
from fo1_data.errors import InputReject
from fo1_data.storage.downloads import download
from schemas.corpus import CorpusImage

_NAMED_OTHERWISE = (
    "a DICOM file under the name of another kind of image, or in an archive, is not read: unpack it, and "
    "give it the suffix .dcm or none"
)


@dataclass(frozen=True)
class EncodedEntry:
    """An entry's image: its encoded bytes, and how values became colours, for the row's `meta`."""

    data: bytes
    meta: Mapping[str, Any] | None = None


def read_encoded(
    entry: CorpusImage, limits: InputLimits, dicom: DicomSettings = DicomSettings()
) -> EncodedEntry:
    """Read an entry's image. `dicom`: how a DICOM frame is shown. Raises InputReject.

    Of a hidden entry no message names the file.
    """
    origin = entry.origin
    if number_of_frame(origin.inner) is not None:
        return EncodedEntry(*read_dicom_frame(entry, limits, dicom))
    if not entry.is_hidden:
        data = _read(entry, limits)
        if has_dicom_magic(data):
            raise refused(NAMED_OTHERWISE, _NAMED_OTHERWISE)
        return EncodedEntry(data)
    try:
        return EncodedEntry(_read(CorpusImage(**origin._asdict()), limits))
    except InputReject as error:
        message = "the file of this hidden address cannot be read"
        raise InputReject(error.stage, error.reason, message, error.replayable) from None


def must_embed(entry: CorpusImage) -> bool:
    """Whether a row must hold the pixels: nothing that is written says how to make or find them again."""
    return entry.is_hidden or number_of_frame(entry.inner) is not None


def read_bytes(entry: CorpusImage, limits: InputLimits) -> bytes:
    """The bytes of `read_encoded` under the default settings. Raises InputReject."""
    return read_encoded(entry, limits).data


def _read(entry: CorpusImage, limits: InputLimits) -> bytes:
    if entry.inner is not None and is_video(entry.uri):
        return read_frame(entry)
    if is_parquet_row(entry):
        return read_parquet_image(entry, limits)
    if entry.inner is not None:
        return read_member(entry, limits)
    return download(entry.uri, max_bytes=limits.max_bytes, timeout_s=limits.download_timeout_s)
