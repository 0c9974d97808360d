"""A manifest too long for one file: its files and duplicates are listed in parts, which it names instead.

    manifest/files-<hash>.jsonl  manifest/duplicates-<hash>.jsonl    a line for each entry, in order

`files` of such a `manifest.json` names the parts, with their hashes, and no data file: a version counts only
what it lists. Its schema version is `IN_PARTS_VERSION`, so that older readers refuse it. Parts are named by
their content and written before the manifest. A shorter manifest is one file, as it always was.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fo1_data.errors import DatasetError
from schemas.dataset import (
    DUPLICATES_PART,
    FILES_PART,
    IN_PARTS_VERSION,
    SCHEMA_VERSION,
    Manifest,
    ManifestFile,
)

ENTRIES_A_PART = 10_000
_DIGITS = 16
Document = dict[str, Any]


@dataclass(frozen=True)
class ListLimits:
    """The most entries that a manifest of one file has."""

    files: int = 10_000
    duplicates: int = 100_000


@dataclass(frozen=True)
class Part:
    """A file of entries, a line each."""

    file: ManifestFile
    data: bytes


def stored_form(
    manifest: Manifest, limits: ListLimits = ListLimits(), entries_a_part: int = ENTRIES_A_PART
) -> tuple[Document, list[Part]]:
    """The content of `manifest.json`, and the parts that are to be written before it (mostly none)."""
    document = manifest.model_dump(mode="json")
    if len(manifest.files) <= limits.files and len(manifest.duplicates) <= limits.duplicates:
        return document, []
    parts = [
        *_parts(FILES_PART, document["files"], entries_a_part),
        *_parts(DUPLICATES_PART, document["duplicates"], entries_a_part),
    ]
    files = [part.file.model_dump(mode="json") for part in parts]
    return {**document, "schema_version": IN_PARTS_VERSION, "files": files, "duplicates": []}, parts


def load_whole(read: Callable[[str], bytes], document: Document) -> Document:
    """The content of a manifest with the entries of its parts in their places.

    read: gives the content of a part by its path. Raises DatasetError if a part is damaged, ValueError if the
    parts are not named.
    """
    if document.get("schema_version") != IN_PARTS_VERSION:
        return document
    if not isinstance(document.get("files"), list):
        raise ValueError("files: the parts of its lists are missing")
    parts = [ManifestFile.model_validate(file) for file in document["files"]]
    return {
        **document,
        "schema_version": SCHEMA_VERSION,
        "files": _entries(read, parts, FILES_PART),
        "duplicates": _entries(read, parts, DUPLICATES_PART),
    }


def _parts(prefix: str, entries: Sequence[Document], entries_a_part: int) -> Iterator[Part]:
    for start in range(0, len(entries), entries_a_part):
        of_part = entries[start : start + entries_a_part]
        lines = (json.dumps(entry, sort_keys=True, ensure_ascii=False) for entry in of_part)
        data = "".join(f"{line}\n" for line in lines).encode()
        digest = hashlib.sha256(data).hexdigest()
        path = f"{prefix}{digest[:_DIGITS]}.jsonl"
        yield Part(ManifestFile(path=path, num_rows=len(of_part), num_bytes=len(data), sha256=digest), data)


def _entries(read: Callable[[str], bytes], parts: Sequence[ManifestFile], prefix: str) -> list[Document]:
    entries: list[Document] = []
    for part in parts:
        if part.path.startswith(prefix):
            data = read(part.path)
            if hashlib.sha256(data).hexdigest() != part.sha256:
                raise DatasetError(
                    f"{part.path}: its SHA-256 is not the manifest's: it was changed or damaged"
                )
            entries += map(json.loads, data.splitlines())
    return entries
