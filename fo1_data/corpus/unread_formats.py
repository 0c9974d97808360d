"""Formats that people put into a corpus and that no decoder here takes: what to do with such a file."""

_ARCHIVE = "an archive, which is not read: unpack it"
_PDF = "a PDF, which is not read: make pictures of its pages"
_STARTS = {
    b"PK\x03\x04": _ARCHIVE,
    b"7z\xbc\xaf\x27\x1c": _ARCHIVE,
    b"Rar!\x1a\x07": _ARCHIVE,
    b"\x1f\x8b": _ARCHIVE,
    b"%PDF-": _PDF,
    b"<svg": "an SVG drawing, which is not read: make a PNG of it",
}
_SUFFIXES = {".zip": _ARCHIVE, ".7z": _ARCHIVE, ".rar": _ARCHIVE, ".gz": _ARCHIVE, ".pdf": _PDF}
# At byte 4 of what telephones write. Pillow reads it only with a plugin.
_HEIF_MARKS = (b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1", b"ftypmsf1")


def unread_format(start: bytes) -> str:
    """What a file is that no decoder takes, as far as its first 12 bytes tell."""
    if start[4:12] in _HEIF_MARKS:
        return "HEIC and HEIF are not read: convert the file to JPEG or PNG"
    known = (message for begin, message in _STARTS.items() if start.startswith(begin))
    return next(known, "not an image format that can be read")


def unread_suffix(suffix: str) -> str | None:
    """What a file with such an ending (lower case, with its dot) is, if people take it for a corpus."""
    return _SUFFIXES.get(suffix)
