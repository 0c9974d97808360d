"""DICOM files as they are found and opened: the magic, the header within limits, what is refused.

Messages never quote a file: errors of pydicom may repeat values of tags, so none of them is passed on.
"""

import io
import logging
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import IO, Any, cast

from PIL import Image

from fo1_data.corpus.decoder_warnings import collected_warnings
from fo1_data.errors import ConfigError, CorpusError, InputReject
from fo1_data.storage.addresses import suffix_of
from fo1_data.storage.streams import open_seekable, open_stream
from schemas.corpus import Origin
from schemas.images import RejectStage

SUFFIXES = (".dcm", ".dicom", ".dic", ".ima")
NO_READER = "no_dicom_reader"
_MAGIC_AT, _MAGIC = 128, b"DICM"
_DIRECTORY = b"1.2.840.10008.1.3.10"
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_HEAD_BYTES = 4096
# Elements of the file meta information as they are encoded: their length, the transfer syntax.
_META_LENGTH = re.compile(rb"\x02\x00\x00\x00UL\x04\x00(....)", re.DOTALL)
_SYNTAX = re.compile(rb"\x02\x00\x10\x00UI(..)", re.DOTALL)

# What is read of a header: nothing that names anybody, and series and instance, of which hashes are made.
TAGS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "ImageType",
    "ConversionType",
    "BurnedInAnnotation",
    "SpecimenLabelInImage",
    "DirectoryRecordSequence",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData",
    "SegmentedGreenPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)


def refused(reason: str, message: str) -> InputReject:
    """The reject of a file that cannot become a picture."""
    return InputReject(RejectStage.DECODE, reason, message, replayable=False)


def may_be_dicom(address: str) -> bool:
    """Whether a file's name lets it be DICOM: it has no suffix of another kind of image."""
    suffix = suffix_of(address).lower()
    return suffix in SUFFIXES or suffix not in Image.registered_extensions()


def has_dicom_magic(data: bytes) -> bool:
    """Whether bytes begin as a DICOM file does."""
    return data[_MAGIC_AT : _MAGIC_AT + 4] == _MAGIC


def is_dicom(address: str, whatever_name: bool = False) -> bool:
    """Whether a file is DICOM: by its first bytes, or by its name where they are missing.

    A file with the suffix of another kind of image is opened only for `whatever_name`.
    """
    if not (whatever_name or may_be_dicom(address)):
        return False
    head = _head(address)
    named = suffix_of(address).lower() in SUFFIXES
    return has_dicom_magic(head) or (named and bool(head))


def is_directory(address: str) -> bool:
    """Whether a DICOM file is a DICOMDIR, an index of other files."""
    return _DIRECTORY in _head(address)


def _head(address: str) -> bytes:
    try:
        with open_stream(address) as stream:
            return stream.read(_HEAD_BYTES)
    except (CorpusError, OSError):
        return b""


@lru_cache(maxsize=1)
def load_pydicom() -> Any:
    """pydicom, set so that it prints nothing of what it reads. Raises ConfigError if it is not installed."""
    try:
        import pydicom
    except ImportError:
        raise ConfigError(
            "the corpus has DICOM files and pydicom is not installed: install fo1-data[dicom]"
        ) from None
    # Its log quotes values of tags.
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    return pydicom


class _Unnamed(io.BufferedReader):
    """A file whose name pydicom, which asks for it, does not learn."""

    name = ""


@contextmanager
def open_dicom(origin: Origin, max_bytes: int) -> Iterator[IO[bytes]]:
    """Open the file at an address. Raises InputReject if it is too large or inflates to more than that."""
    with open_seekable(origin.uri) as raw:
        if raw.size() > max_bytes:
            raise refused("too_large", f"the file is over the limit max_bytes = {max_bytes}")
        file = cast(IO[bytes], _Unnamed(cast(io.RawIOBase, raw), 2**16))
        _check_inflated(file, max_bytes)
        yield file


def _check_inflated(file: IO[bytes], max_bytes: int) -> None:
    """pydicom inflates a deflated file without a limit."""
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    syntax, length = _SYNTAX.search(head), _META_LENGTH.search(head)
    if syntax is None or not head[syntax.end() :].startswith(_DEFLATED):
        return
    if length is None:
        raise refused("broken", "the file is deflated and does not say where")
    file.seek(length.end() + int.from_bytes(length[1], "little"))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        num_bytes = len(inflater.decompress(file.read(), max_bytes + 1))
    except zlib.error:
        raise refused("broken", "the deflated part of the file is damaged") from None
    file.seek(0)
    if num_bytes > max_bytes:
        raise refused("too_large", f"the file inflates to more than max_bytes = {max_bytes}")


@contextmanager
def without_quotes(what: str) -> Iterator[None]:
    """Turn whatever pydicom or a decoder raises into a reject that repeats nothing of the file."""
    try:
        with collected_warnings():
            yield
    except (InputReject, ConfigError, MemoryError):
        raise
    except NotImplementedError:
        raise refused("unsupported", f"{what}: no installed decoder reads this encoding") from None
    except Exception as error:
        raise refused("broken", f"{what}: the file is damaged or odd ({type(error).__name__})") from None


def read_header(file: IO[bytes]) -> Any:
    """The tags of a file that pictures depend on. Raises InputReject, ConfigError without pydicom.

    Leaves the file at its pixels.
    """
    pydicom = load_pydicom()
    with without_quotes("header"):
        file.seek(0)
        return pydicom.dcmread(file, force=True, stop_before_pixels=True, specific_tags=list(TAGS))
