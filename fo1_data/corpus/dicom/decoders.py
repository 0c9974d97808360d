"""Which package decodes which encoding of DICOM pixels: always the same one, whatever else is installed.

Decoders of lossy encodings differ by some grey levels, so the choice is fixed here and is part of a run's
fingerprint. All are under permissive licences. Twelve-bit JPEG has no such decoder.
"""

from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fo1_data.corpus.dicom.files import refused, without_quotes

_JPEG = "1.2.840.10008.1.2.4."
# Transfer syntaxes that pack pixels, and the plugin of pydicom that unpacks each.
_PLUGINS = {
    "1.2.840.10008.1.2.5": "pydicom",  # run lengths
    f"{_JPEG}50": "pillow",
    f"{_JPEG}51": "pillow",
    f"{_JPEG}57": "gdcm",
    f"{_JPEG}70": "gdcm",
    f"{_JPEG}80": "pyjpegls",
    f"{_JPEG}81": "pyjpegls",
    f"{_JPEG}90": "pylibjpeg",
    f"{_JPEG}91": "pylibjpeg",
    f"{_JPEG}201": "pylibjpeg",
    f"{_JPEG}202": "pylibjpeg",
    f"{_JPEG}203": "pylibjpeg",
}
# The package that does the work of a plugin.
_PACKAGES = {
    "pydicom": "pydicom",
    "pillow": "pillow",
    "gdcm": "python-gdcm",
    "pyjpegls": "pyjpegls",
    "pylibjpeg": "pylibjpeg-openjpeg",
}
_NATIVE = "pydicom"
_SOF = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})


def plugin_of(syntax: str, bits: int) -> str | None:
    """The plugin of pydicom for a transfer syntax; None if its pixels are not packed.

    Raises InputReject for an encoding that nothing reads.
    """
    if syntax == f"{_JPEG}51" and bits > 8:
        raise refused("unsupported", "no decoder under a permissive licence reads JPEG of 12 bits")
    if syntax in _PLUGINS:
        return _PLUGINS[syntax]
    if syntax.startswith(_JPEG):
        raise refused("unsupported", "no decoder of this project reads the encoding of its pixels")
    return None


@lru_cache(maxsize=8)
def decoder_name(plugin: str | None) -> str:
    """The package behind a plugin with its version, for `meta` and the fingerprint."""
    package = _PACKAGES[plugin or _NATIVE]
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package


def decoder_versions() -> list[str]:
    """All packages that may decode pixels, with their versions."""
    return [decoder_name(plugin) for plugin in _PACKAGES]


def check_packed_size(packed: bytes, columns_rows: tuple[int, int]) -> None:
    """Refuse a packed frame that says another size than its header: a decoder would follow it to any size.

    Raises InputReject. A frame of run lengths says no size.
    """
    with without_quotes("packed pixels"):
        said = _packed_wh(packed)
    if said is not None and said != columns_rows:
        raise refused("other_size", f"the header says {columns_rows} pixels, the packed frame {said}")


def _packed_wh(packed: bytes) -> tuple[int, int] | None:
    """Width and height that a codestream of JPEG, JPEG-LS or JPEG 2000 declares; None if it is none."""
    start = packed.find(b"\xff\x4f\xff\x51", 0, 512)
    if start >= 0:
        # ITU-T T.800, A.5.1: after the marker two lengths of 16 bits; then the far and near corners.
        x_max, y_max, x_min, y_min = (
            int.from_bytes(packed[start + at : start + at + 4], "big") for at in (8, 12, 16, 20)
        )
        return x_max - x_min, y_max - y_min
    if packed[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(packed):
        if packed[at] != 0xFF:
            return None
        marker = packed[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker in _SOF:
            height, width = (int.from_bytes(packed[at + n : at + n + 2], "big") for n in (5, 7))
            return width, height
        else:
            at += 2 + int.from_bytes(packed[at + 2 : at + 4], "big")
    return None


def syntax_of(dataset: Any) -> str:
    """The transfer syntax of a file; that of its data elements if it does not say."""
    said = getattr(dataset, "file_meta", {}).get("TransferSyntaxUID")
    if said:
        return str(said)
    is_implicit, is_little = dataset.original_encoding
    if not is_little:
        return "1.2.840.10008.1.2.2"
    return "1.2.840.10008.1.2" if is_implicit else "1.2.840.10008.1.2.1"
