"""WebDataset: tars in which the files of a sample share a key, and mostly follow each other.

The key is the path up to the first dot of the file name. `.json` (fields of `annotations`; other fields go to
`meta`), `.txt` (caption) and `.cls` (class) describe the sample; every other file of it is an image. Images
are not read here: an entry has the offset and length of its bytes in a plain tar, or the name of the member
of a compressed tar. A sidecar that does not follow its image is still read for it; one without an image is a
reject.
"""

import json
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO, Any

from pydantic import ValidationError

from fo1_data.corpus.archives import BROKEN_TAR, StrictTarInfo, text_name
from fo1_data.corpus.forms.annotations import without_dangling
from fo1_data.corpus.forms.folder import ONE_IMAGE
from fo1_data.corpus.forms.record_entry import entry_of_fields
from fo1_data.corpus.forms.record_fields import count_record, fields_of_record, validation_text
from fo1_data.corpus.listing import Found, Item, Piece, Refused
from fo1_data.corpus.places import listing_reject
from fo1_data.errors import CorpusError, one_line
from fo1_data.storage.addresses import local_path
from fo1_data.storage.streams import open_stream
from schemas.corpus import CorpusImage
from schemas.sources import ContentKind

_CAPTIONS = ("txt", "caption", "text")
_SIDECARS = ("json", "cls", *_CAPTIONS)
_MAX_SIDECAR_BYTES = 2**24
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")

Span = tuple[int, int]


@dataclass
class _Sample:
    key: str
    images: list[tuple[str, Span | None]] = field(default_factory=list)
    sidecars: dict[str, bytes | None] = field(default_factory=dict)


def read_webdataset(addresses: Iterable[str]) -> Iterator[Item]:
    """The images of each tar in turn; of a broken tar, the samples before the fault, then a reject."""
    for address in addresses:
        waiting: dict[str, list[_Sample]] = {}
        try:
            yield from _read_tar(address, waiting)
        except CorpusError as error:
            yield Refused(address, {}, listing_reject(address, "unreadable_archive", str(error)))
        except BROKEN_TAR as error:
            message = f"{address} is not a complete tar: {one_line(error)}"
            yield Refused(address, {}, listing_reject(address, "broken_archive", message))
        for sample in (sample for samples in waiting.values() for sample in samples):
            counts = Counter({ContentKind.SIDECARS: len(sample.sidecars)})
            where = f"{address}::{sample.key}"
            message = f"{where}: {', '.join(sample.sidecars)} without an image"
            yield Refused(address, counts, listing_reject(where, "no_image", message))


def _read_tar(address: str, waiting: dict[str, list[_Sample]]) -> Iterator[Item]:
    """The contents of a tar. What remains in `waiting` are sidecars whose image never came."""
    images: dict[str, list[tuple[str, Span | None]]] = {}
    for sample in _samples(address):
        yield Found(address, {ContentKind.SIDECARS: len(sample.sidecars)})
        if sample.images:
            images.setdefault(sample.key, []).extend(sample.images)
            yield from _pieces(sample, address)
            for early in waiting.pop(sample.key, []):
                yield from _pieces(_Sample(sample.key, sample.images, early.sidecars), address)
        elif sample.key in images:
            yield from _pieces(_Sample(sample.key, images[sample.key], sample.sidecars), address)
        else:
            waiting.setdefault(sample.key, []).append(sample)


def _samples(address: str) -> Iterator[_Sample]:
    sample: _Sample | None = None
    try:
        for key, kind, name, span, is_sidecar, sidecar in _members(address):
            if sample is not None and (key != sample.key or (is_sidecar and kind in sample.sidecars)):
                yield sample
                sample = None
            sample = sample or _Sample(key)
            if not is_sidecar:
                sample.images.append((name, span))
            else:
                sample.sidecars[kind] = sidecar
    except BROKEN_TAR:
        if sample is not None:
            yield sample
        raise
    if sample is not None:
        yield sample


def _members(address: str) -> Iterator[tuple[str, str, str, Span | None, bool, bytes | None]]:
    """Key, kind, name, span (of a member of a plain tar), whether a sidecar, and its bytes, of each file.

    The bytes of a sidecar that is too large are None.
    """
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
                sidecar = file.read() if file is not None else None
            elif is_plain and not member.issparse():
                span = (member.offset_data, member.size)
            yield key, kind, text_name(member.name), span, kind in _SIDECARS, sidecar


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


def _pieces(sample: _Sample, address: str) -> Iterator[Item]:
    """A piece for each image of a sample; each has all that the sidecars say."""
    where = f"{address}::{sample.key}"
    record: dict[str, Any] = {}
    num_read = 0
    # The record first: what other sidecars say is added to it.
    for kind, data in sorted(sample.sidecars.items(), key=lambda sidecar: sidecar[0] != "json"):
        try:
            _add_sidecar(record, kind, data)
            num_read += 1
        except (ValueError, TypeError, RecursionError) as error:
            # The image is still listed, without the labels that cannot be read.
            reject = listing_reject(where, "bad_sidecar", f"{where}.{kind}: {one_line(error)}")
            yield Refused(address, {ContentKind.SIDECARS: 1}, reject)
    counts = count_record(record)
    for number, (name, span) in enumerate(sample.images):
        yield Found(address, counts)
        fields: dict[str, Any] = {"uri": address, "inner": name, "inner_span": span}
        num_sidecars = num_read if number == 0 else 0
        try:
            own = fields_of_record(record)
            own["id"] = own["id"] or sample.key
            entry, refused = entry_of_fields(fields | own, address, where)
        except (ValidationError, ValueError, TypeError, RecursionError) as error:
            labels = counts - Counter(ONE_IMAGE) + Counter({ContentKind.SIDECARS: num_sidecars})
            reject = listing_reject(f"{address}::{name}", "bad_sidecar", f"{where}: {validation_text(error)}")
            yield Refused(address, labels, reject)
            yield Piece(address, CorpusImage(**fields, id=sample.key))
        else:
            yield from refused
            for item in without_dangling(entry, address, where):
                yield Piece(address, item.entry, num_sidecars) if isinstance(item, Piece) else item


def _add_sidecar(record: dict[str, Any], kind: str, data: bytes | None) -> None:
    """Put what a sidecar says into a record like those of `annotations`."""
    if data is None:
        raise ValueError(f"is larger than {_MAX_SIDECAR_BYTES} bytes")
    if kind == "json":
        document = json.loads(data)
        record |= document if isinstance(document, dict) else {"json": document}
        return
    text = data.decode("utf-8-sig").strip()
    if kind == "cls":
        own_meta = record.get("meta")
        record["meta"] = {**(own_meta if isinstance(own_meta, dict) else {}), "cls": text}
    elif text:
        captions = record.get("caption")
        captions = captions if isinstance(captions, list) else [captions] if captions else []
        record["caption"] = captions if text in captions else [*captions, text]
