"""One frame of a DICOM file as an 8-bit picture, encoded as PNG, with what it was made with.

Sizes and limits are checked from the header before anything is decoded; overlays are not drawn.
"""

import io
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
from PIL import Image

from fo1_data.corpus.dicom.decoders import decoder_name, plugin_of, syntax_of
from fo1_data.corpus.dicom.files import load_pydicom, open_dicom, read_header, refused, without_quotes
from fo1_data.corpus.dicom.grey import Values, to_grey
from fo1_data.corpus.dicom.listing import META, check_header
from fo1_data.corpus.dicom.packed_frames import check_packed
from fo1_data.corpus.dicom.palette import to_8_bits, to_colours
from fo1_data.corpus.dicom.settings import DicomSettings
from fo1_data.corpus.frame_names import number_of_frame
from fo1_data.corpus.images import InputLimits
from fo1_data.errors import ConfigError, CorpusError, InputReject
from schemas.corpus import CorpusImage
from schemas.images import RejectStage

# Values of more than 16 bits are sorted: 24 bytes a pixel.
_DEEP_MAX_PIXELS = 2**24
_PIXELS = frozenset(b"\xe0\x7f" + bytes([element, 0]) for element in (8, 9, 16))
_DEFLATED = "1.2.840.10008.1.2.1.99"
# What pydicom gives as RGB, whatever was stored.
_DECODED_TO_RGB = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_FRAME_GROUPS = ("PixelValueTransformationSequence", "FrameVOILUTSequence")


def read_dicom_frame(
    entry: CorpusImage, limits: InputLimits, settings: DicomSettings
) -> tuple[bytes, Mapping[str, Any]]:
    """The frame of an entry as PNG, and the row's `meta` on it. Raises InputReject."""
    number = number_of_frame(entry.inner)
    if number is None:
        raise InputReject(RejectStage.FETCH, "no_such_frame", "the entry names no frame")
    try:
        with open_dicom(entry.origin, limits.max_bytes) as file:
            picture, made_with = _picture(file, number, limits, settings)
    except ConfigError as error:
        raise refused("no_dicom_reader", str(error)) from None
    except (CorpusError, OSError):
        message = "the file cannot be read, or is no longer there"
        raise InputReject(RejectStage.FETCH, "not_found", message, replayable=True) from None
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=1)
    facts = {**((entry.meta or {}).get(META) or {}), **made_with}
    return buffer.getvalue(), {META: facts}


def _picture(
    file: IO[bytes], number: int, limits: InputLimits, settings: DicomSettings
) -> tuple[Image.Image, dict[str, Any]]:
    header = read_header(file)
    count = check_header(header, settings)
    if number > count:
        raise refused("no_such_frame", f"the file has {count} frames, not {number}")
    with without_quotes("header"):
        _check_size(header, limits)
        syntax = syntax_of(header)
        header = _header_of_frame(header, number - 1)
        plugin = plugin_of(syntax, int(header.get("BitsStored") or 8))
    values = _values(file, header, syntax, plugin, number - 1)
    with without_quotes("pixels"):
        picture, made_with = _to_picture(values, header, settings)
    return picture, {**made_with, "decoder": decoder_name(plugin)}


def _check_size(header: Any, limits: InputLimits) -> None:
    columns, rows, bits = int(header.Columns), int(header.Rows), int(header.get("BitsAllocated") or 8)
    if columns < 1 or rows < 1:
        raise refused("broken", f"the header declares {columns} x {rows} pixels")
    limit = limits.max_pixels if bits <= 16 else min(limits.max_pixels, _DEEP_MAX_PIXELS)
    if columns * rows > limit:
        raise refused("too_many_pixels", f"{columns} x {rows} pixels of {bits} bits are over {limit}")


def _header_of_frame(header: Any, index: int) -> Any:
    """The header under what it says of this frame alone, or of all frames alike (PS3.3, C.7.6.16)."""
    shared = header.get("SharedFunctionalGroupsSequence") or []
    of_frames = header.get("PerFrameFunctionalGroupsSequence") or []
    groups = [*shared[:1], *of_frames[index : index + 1]]
    for group in groups:
        for name in _FRAME_GROUPS:
            for item in (group.get(name) or [])[:1]:
                header.update({element.tag: element for element in item})
    return header


def _values(file: IO[bytes], header: Any, syntax: str, plugin: str | None, index: int) -> Values:
    """The stored values of a frame: (H, W), or (H, W, 3) as RGB. The file is at its pixels.

    One frame is read from the file. Of an odd file, of which that fails, the whole is read.
    """
    pydicom = load_pydicom()
    # An empty name would let pydicom try every plugin that is installed.
    options = {"index": index, "decoding_plugin": plugin or ""}
    with without_quotes("pixels"):
        if not _is_at_pixels(file):
            raise refused("no_pixels", "the file has no pixels")
        if plugin is not None:
            check_packed(_packed(file, header, index), plugin, header)
        try:
            if syntax == _DEFLATED:
                raise ValueError("the file is read whole")
            file.seek(0)
            array = pydicom.pixels.pixel_array(file, transfer_syntax_uid=pydicom.uid.UID(syntax), **options)
        except Exception:
            file.seek(0)
            whole = pydicom.dcmread(file, force=True)
            whole.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
            array = pydicom.pixels.pixel_array(whole, **options)
    return np.asarray(array).astype(array.dtype.newbyteorder("="), copy=False)


def _is_at_pixels(file: IO[bytes]) -> bool:
    """Whether an element of pixels comes next: of integers, or of floats of either length."""
    at = file.tell()
    group, element = (file.read(2) for _ in range(2))
    file.seek(at)
    pairs = {group + element, group[::-1] + element[::-1]}
    return bool(pairs & _PIXELS)


def _packed(file: IO[bytes], header: Any, index: int) -> bytes:
    """A frame as it is packed. Its element begins with tag, VR and length, or, in odd files, without a VR."""
    at = file.tell()
    file.seek(at + (8 if file.read(8)[4:] == b"\xff\xff\xff\xff" else 12))
    count = int(header.get("NumberOfFrames") or 1)
    return bytes(load_pydicom().encaps.get_frame(file, index, number_of_frames=count))


def _to_picture(values: Values, header: Any, settings: DicomSettings) -> tuple[Image.Image, dict[str, Any]]:
    photometric = str(header.get("PhotometricInterpretation") or "").strip()
    if values.ndim == 2 and photometric in ("MONOCHROME1", "MONOCHROME2"):
        grey = to_grey(_without_unused_bits(values, header), header, settings.window)
        return Image.fromarray(grey.levels), grey.meta
    if values.ndim == 2 and photometric == "PALETTE COLOR":
        return Image.fromarray(to_colours(values, header)), {"palette": True}
    if values.ndim == 3 and values.shape[2] == 3 and photometric in _DECODED_TO_RGB:
        return Image.fromarray(to_8_bits(values, int(header.get("BitsStored") or 8))), {}
    raise refused("unsupported", "pictures of its kind of colour (PhotometricInterpretation) are not made")


def _without_unused_bits(values: Values, header: Any) -> Values:
    """Values without the bits above those that are stored: old files keep overlays there."""
    allocated, stored = values.dtype.itemsize * 8, int(header.get("BitsStored") or 0)
    unused = allocated - stored
    if values.dtype.kind not in "iu" or unused <= 0 or stored < 1:
        return values
    return np.asarray(np.right_shift(np.left_shift(values, unused), unused))
