"""WebDataset: tars in which the files of a sample follow each other and share a key.

The key is the path up to the first dot of the file name. `.json` (fields of `annotations`; other fields go to
`meta`), `.txt` (caption) and `.cls` (class) describe the sample; every other file of it is an image. Images
are not read here: an entry has the offset and length of its bytes in a plain tar, or the name of the member
of a compressed tar.
"""

import json
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO, Any

from pydantic import ValidationError

from fo1_data.corpus.archives import BROKEN_TAR, StrictTarInfo, text_name
from fo1_data.corpus.forms.record_fields import fields_of_record, validation_text
from fo1_data.corpus.places import listing_reject
from fo1_data.errors import CorpusError
from fo1_data.storage.addresses import local_path
from fo1_data.storage.streams import one_line, open_stream
from schemas.corpus import CorpusImage
from schemas.images import Reject

_SIDECARS = ("json", "txt", "cls", "caption", "text")
_MAX_SIDECAR_BYTES = 2**24
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")

Span = tuple[int, int]


@dataclass
class _Sample:
    key: str
    images: list[tuple[str, Span | None]] = field(default_factory=list)
    sidecars: dict[str, bytes] = field(default_factory=dict)


def read_webdataset(addresses: Iterable[str]) -> Iterator[CorpusImage | Reject]:
    """The images of each tar in turn; of a broken tar, the samples before the fault, then a reject."""
    for address in addresses:
        try:
            for sample in _samples(address):
                yield from _entries(sample, address)
        except CorpusError as error:
            yield listing_reject(address, "unreadable_archive", str(error))
        except BROKEN_TAR as error:
            yield listing_reject(
                address, "broken_archive", f"{address} is not a complete tar: {one_line(error)}"
            )


def _samples(address: str) -> Iterator[_Sample]:
    sample: _Sample | None = None
    try:
        for key, kind, name, span, sidecar in _members(address):
            if sample is not None and key != sample.key:
                yield sample
                sample = None
            sample = sample or _Sample(key)
            if sidecar is None:
                sample.images.append((name, span))
            else:
                sample.sidecars[kind] = sidecar
    except BROKEN_TAR:
        if sample is not None:
            yield sample
        raise
    if sample is not None:
        yield sample


def _members(address: str) -> Iterator[tuple[str, str, str, Span | None, bytes | None]]:
    """Key, kind, name, span (of a member of a plain tar) and bytes (of a sidecar) of each file in a tar."""
    with ExitStack() as stack:
        tar, is_plain = _open_tar(address, stack)
        while (member := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # tarfile keeps all it has read
            if not member.isfile():
                continue
            key, kind = split_name(member.name)
            span, sidecar = None, None
            if kind in _SIDECARS:
                file = tar.extractfile(member) if member.size <= _MAX_SIDECAR_BYTES else None
                sidecar = file.read() if file is not None else b""
            elif is_plain and not member.issparse():
                span = (member.offset_data, member.size)
            yield key, kind, text_name(member.name), span, sidecar


def _open_tar(address: str, stack: ExitStack) -> tuple[tarfile.TarFile, bool]:
    """The tar, and whether it is plain (not compressed)."""
    with open_stream(address) as stream:
        is_plain = not stream.read(6).startswith(_COMPRESSED)
    stream = stack.enter_context(open_stream(address))
    seekable = is_plain and local_path(address) is not None
    return stack.enter_context(_tar(stream, "r:" if seekable else "r|*")), is_plain


def _tar(stream: IO[bytes], mode: Any) -> tarfile.TarFile:
    return tarfile.open(fileobj=stream, mode=mode, tarinfo=StrictTarInfo)


def split_name(name: str) -> tuple[str, str]:
    """The key of a member, and the rest of its name after the first dot in lower case."""
    folder, slash, last = name.rpartition("/")
    stem, _, kind = last.partition(".")
    return text_name(f"{folder}{slash}{stem}"), kind.lower()


def _entries(sample: _Sample, address: str) -> Iterator[CorpusImage | Reject]:
    where = f"{address}::{sample.key}"
    fields: dict[str, Any] = {"id": sample.key}
    try:
        fields |= _sidecar_fields(sample.sidecars)
    except (ValueError, TypeError, RecursionError) as error:
        # The image is still listed, without the labels that cannot be read.
        yield listing_reject(where, "bad_sidecar", f"{where}: {one_line(error)}")
    for name, span in sample.images:
        try:
            yield CorpusImage(uri=address, inner=name, inner_span=span, **fields)
        except ValidationError as error:
            yield listing_reject(f"{address}::{name}", "bad_sidecar", f"{where}: {validation_text(error)}")
            yield CorpusImage(uri=address, inner=name, inner_span=span, id=sample.key)


def _sidecar_fields(sidecars: dict[str, bytes]) -> dict[str, Any]:
    """The contents of sidecar files as fields of an entry."""
    fields: dict[str, Any] = {}
    if "json" in sidecars:
        record = json.loads(sidecars["json"])
        fields = fields_of_record(record if isinstance(record, dict) else {"json": record})
        fields = {name: value for name, value in fields.items() if name != "id" or value is not None}
    texts = (sidecars.get(kind) for kind in ("txt", "caption", "text"))
    caption = next((text.decode("utf-8-sig").strip() for text in texts if text), None)
    if caption and not fields.get("caption"):
        fields["caption"] = caption
    if "cls" in sidecars:
        fields["meta"] = {**(fields.get("meta") or {}), "cls": sidecars["cls"].decode("utf-8-sig").strip()}
    return fields
