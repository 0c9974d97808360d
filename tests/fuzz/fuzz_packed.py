"""DICOM files whose pixels are packed: run lengths, JPEG, lossless JPEG, JPEG-LS and JPEG 2000.

Packed frames are changed in their structure (segments, offsets, sizes), then their fragments and offset
tables, then what the header says of them.
"""

import io
import random
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from changed_bytes import changed_anywhere, changed_bytes
from fuzz_dicom import LIMITS, shown_frames
from fuzz_target import Broken, Runner, check
from peak_memory import peak_bytes

from fo1_data.corpus.dicom.settings import DicomSettings

# What a decoder may need at once: some times the pixels, and what its library keeps.
MOST_BYTES = 64 * LIMITS.max_pixels + 32 * 2**20
_SETTINGS = DicomSettings(allow_burned_in_text=True, keep_paths=False, max_frames=5)
_ODD = (0, 1, 2, 3, 7, 8, 9, 12, 15, 16, 17, 31, 32, 64, 255, 256, 4096, 65_534, 65_535)
_COLOURS = ("MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_COLOURS += ("PALETTE COLOR", "XYB", "CMYK", "")
_COLOUR = "PhotometricInterpretation"
# Elements of group 0028 with a number.
_TAGS = {"SamplesPerPixel": 2, "PlanarConfiguration": 6, "NumberOfFrames": 8, "Rows": 0x10, "Columns": 0x11}
_TAGS |= {"BitsAllocated": 0x100, "BitsStored": 0x101, "HighBit": 0x102, "PixelRepresentation": 0x103}
_JPEG = "1.2.840.10008.1.2.4."
_SYNTAXES = ("1.2.840.10008.1.2.5", *(f"{_JPEG}{number}" for number in (50, 51, 57, 70, 80, 81, 90, 91, 201)))
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"
_PIXELS = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff"


@dataclass(frozen=True)
class _Sample:
    """A file in parts. headers: its own, then as of other encodings; without pixels. frames: packed."""

    name: str
    headers: list[bytes]
    frames: list[bytes]


@contextmanager
def packed(folder: Path) -> Iterator[Runner]:
    samples = list(_samples(folder))
    path = folder / "a.dcm"

    def run(chance: random.Random) -> str:
        sample, other = chance.choice(samples), chance.choice(samples)
        frames = [_changed_frame(frame, other.frames[0], chance) for frame in sample.frames]
        header = chance.choice(sample.headers) if chance.random() < 0.05 else sample.headers[0]
        path.write_bytes(_header(header, chance) + _encapsulated(frames, chance))
        before = peak_bytes(begin=True)
        try:
            first = shown_frames(path, _SETTINGS)
            used = peak_bytes() - before
            check(used < MOST_BYTES, f"{used / 2**20:.0f} MiB for {path.stat().st_size} bytes")
            if chance.random() < 0.1:
                check(first == shown_frames(path, _SETTINGS), "shown in two ways")
        except Broken as error:
            error.about = f"{sample.name}:"
            raise
        return "pictures" if any(size for size, _ in first) else "rejected"

    yield run


def _header(header: bytes, chance: random.Random) -> bytes:
    """All but the pixels; sometimes it says something else of them."""
    for _ in range(chance.choice((0, 0, 0, 1, 1, 2))):
        name = chance.choice((*_TAGS, _COLOUR))
        key = struct.pack("<HH", 0x28, _TAGS.get(name, 4))
        at = header.find(key, 132)
        if at < 0:
            continue
        kind, value = header[at + 4 : at + 6], header[at + 8 :][: header[at + 6]]
        if name == _COLOUR:
            new = chance.choice(_COLOURS).encode()
        else:
            near = (int(value) if kind == b"IS" else value[0]) + chance.choice((-1, 1))
            number = max(0, near) if chance.random() < 0.4 else chance.choice(_ODD)
            new = str(number).encode() if kind == b"IS" else struct.pack("<H", number)
        new += b" " * (len(new) % 2)
        element = b"" if chance.random() < 0.1 else key + kind + struct.pack("<H", len(new)) + new
        header = header[:at] + element + header[at + 8 + len(value) :]
    return header


def _encapsulated(frames: Sequence[bytes], chance: random.Random) -> bytes:
    """The element of pixels: a table of offsets, then the frames in fragments."""
    fragments: list[bytes] = []
    offsets, place = [], 0
    for frame in frames:
        offsets.append(place)
        cuts = sorted(
            chance.randrange(len(frame) // 2 + 1) * 2 for _ in range(chance.choice((0, 0, 0, 1, 2)))
        )
        for start, stop in zip([0, *cuts], [*cuts, len(frame)], strict=True):
            fragments.append(frame[start:stop] + b"\0" * (stop - start & 1))
            place += 8 + len(fragments[-1])
    if fragments and chance.random() < 0.15:
        _change_list(fragments, chance)
    table = offsets if chance.random() < 0.5 else []
    if table and chance.random() < 0.2:
        table[chance.randrange(len(table))] = chance.choice((*_ODD, place, 2**31, 2**32 - 1))
    if chance.random() < 0.05:
        table += [chance.choice(_ODD)] * chance.choice((1, 2, 30))
    parts = [_item(struct.pack(f"<{len(table)}I", *table), chance), *(_item(f, chance) for f in fragments)]
    end = chance.choice((b"", _END[:4], _END * 2, b"x" * 9)) if chance.random() < 0.05 else _END
    return _PIXELS + b"".join(parts) + end


def _item(data: bytes, chance: random.Random) -> bytes:
    odd = chance.random() < 0.02
    told = chance.choice((0, len(data) + 1, len(data) + 2, 2**31, 2**32 - 1)) if odd else len(data)
    return (_ITEM if chance.random() < 0.99 else _END[:4]) + struct.pack("<I", told) + data


def _change_list(parts: list[bytes], chance: random.Random) -> None:
    place = chance.randrange(len(parts))
    ways: tuple[Callable[[], Any], ...] = (
        lambda: parts.pop(place),
        lambda: parts.insert(place, parts[place]),
        lambda: parts.insert(place, b""),
        lambda: chance.shuffle(parts),
    )
    chance.choice(ways)()


def _changed_frame(frame: bytes, other: bytes, chance: random.Random) -> bytes:
    way = chance.random()
    if way < 0.3:
        return frame
    if way < 0.4:
        return changed_bytes(frame, other, chance)
    if way < 0.5:
        return changed_anywhere(frame, chance)
    segments = _segments_of(frame)
    for _ in range(chance.choice((1, 1, 2))):
        place = chance.randrange(len(segments))
        if chance.random() < 0.25:
            _change_list(segments, chance)
        else:
            segments[place] = _changed_segment(segments[place], chance)
        segments = segments or [frame]
    return b"".join(segments)


def _segments_of(frame: bytes) -> list[bytes]:
    """Marker segments of JPEG, JPEG-LS and JPEG 2000 and what follows them; the header of run lengths."""
    if frame[:1] != b"\xff":
        return [frame[:64], frame[64:]]
    segments, at = [frame[:2]], 2
    while at + 4 <= len(frame) and frame[at] == 0xFF and frame[at + 1] not in (0x93, 0xD9):
        end = at + 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
        segments.append(frame[at:end])
        at = end
    return [*segments, frame[at:]]


def _changed_segment(segment: bytes, chance: random.Random) -> bytes:
    """A number of one, two or four bytes in it says something else; mostly near its start."""
    if len(segment) < 3:
        return segment
    width = chance.choice((1, 1, 2, 2, 4))
    place = chance.randrange(min(len(segment), chance.choice((12, 48, 400))))
    order = "little" if len(segment) == 64 else "big"
    before = int.from_bytes(segment[place : place + width], order)  # type: ignore[arg-type]
    number = chance.choice((*_ODD, before + 1, before - 1, before * 2, 2**31, 2**32 - 1)) % 256**width
    return segment[:place] + number.to_bytes(width, order) + segment[place + width :]  # type: ignore[arg-type]


def _samples(folder: Path) -> Iterator[_Sample]:
    import pydicom
    from dicom_files import dicom_path, write_dicom
    from PIL import Image

    grey = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48) * 7
    colours = np.random.default_rng(0).integers(0, 255, (64, 48, 3), dtype=np.uint8)
    tags: dict[str, Any] = {
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 0,
    }
    tags |= {
        "NumberOfFrames": 1,
        "Rows": 64,
        "Columns": 48,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
    }
    uid = pydicom.uid
    for name, syntax, options in (
        ("run lengths", uid.RLELossless, {"encoding_plugin": "pydicom"}),
        ("JPEG-LS", uid.JPEGLSLossless, {}),
        ("JPEG-LS, near", uid.JPEGLSNearLossless, {"jls_error": 2}),
        ("JPEG 2000", uid.JPEG2000Lossless, {}),
        ("JPEG 2000, lossy", uid.JPEG2000, {"j2k_cr": [4]}),
    ):
        for values, more in ((grey, {}), (np.stack([grey, grey + 5]), {}), (colours, tags), (grey // 16, {})):
            dataset = pydicom.dcmread(write_dicom(folder / "sample.dcm", values, **more))
            dataset.compress(syntax, **options)
            yield _sample(name, dataset)
    for image, photometric in (
        (Image.fromarray(colours), "YBR_FULL_422"),
        (Image.fromarray(colours[..., 0]), "MONOCHROME2"),
    ):
        packed_as = io.BytesIO()
        image.save(packed_as, "JPEG", quality=80)
        more = {**tags, "SamplesPerPixel": len(image.getbands()), "PhotometricInterpretation": photometric}
        dataset = pydicom.dcmread(write_dicom(folder / "sample.dcm", np.asarray(image), **more))
        dataset.file_meta.TransferSyntaxUID = uid.JPEGBaseline8Bit
        dataset.PixelData = pydicom.encaps.encapsulate([packed_as.getvalue()])
        yield _sample("JPEG", dataset)
    # Nothing that is installed writes lossless JPEG.
    yield _sample("lossless JPEG", pydicom.dcmread(dicom_path("SC_rgb_jpeg_gdcm.dcm")))


def _sample(name: str, dataset: Any) -> _Sample:
    import pydicom

    count = int(dataset.get("NumberOfFrames") or 1)
    frames = list(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=count))
    dataset.pop("PixelData")
    dataset.PatientName, dataset.PatientID = "Doe^Jane", "MRN-4711"
    headers = []
    for syntax in dict.fromkeys((dataset.file_meta.TransferSyntaxUID, *_SYNTAXES)):
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
        buffer = io.BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
        headers.append(buffer.getvalue())
    return _Sample(name, headers, frames)
