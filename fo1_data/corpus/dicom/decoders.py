"""Which package decodes which encoding of DICOM pixels: always the same one, whatever else is installed.

Decoders of lossy encodings differ by some grey levels, so the choice is fixed here and is part of a run's
fingerprint. All are under permissive licences. Twelve-bit JPEG has no such decoder.
"""

from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fo1_data.corpus.dicom.files import refused

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


def syntax_of(dataset: Any) -> str:
    """The transfer syntax of a file; that of its data elements if it does not say."""
    said = getattr(dataset, "file_meta", {}).get("TransferSyntaxUID")
    if said:
        return str(said)
    is_implicit, is_little = dataset.original_encoding
    if not is_little:
        return "1.2.840.10008.1.2.2"
    return "1.2.840.10008.1.2" if is_implicit else "1.2.840.10008.1.2.1"
