"""From finished shards to a dataset: files to their places, duplicates dropped, the manifest last.

Safe to run again after a crash at any point: a shard's untouched file is moved, and found at its
target the next time; a file that loses or gains by a duplicate in another shard is written anew
from the try that counts. Memory: one shard's rows, and the ids of all images.
"""

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow.parquet as pq

from fo1_data.corpus.storage import Store
from fo1_data.dataset.counting import count_rows
from fo1_data.dataset.layout import REJECTS, data_file
from fo1_data.dataset.parquet_files import encode_rejects, encode_rows
from fo1_data.dataset.rows import table_to_rejects, table_to_rows, with_uris
from fo1_data.errors import StorageError
from schemas.dataset import Counts, Duplicate, ManifestFile, ShardFile, ShardReport
from schemas.images import ImageRow, Reject


@dataclass
class Changes:
    """What duplicates in other shards do to the rows of one: ids to drop, addresses to add."""

    drop: set[str] = field(default_factory=set)
    more_uris: dict[str, list[str]] = field(default_factory=dict)

    def apply(self, rows: Iterable[ImageRow]) -> list[ImageRow]:
        kept = (row for row in rows if row.image_id not in self.drop)
        return [with_uris(row, self.more_uris.get(row.image_id, [])) for row in kept]

    def touch(self, ids: Iterable[str]) -> bool:
        return any(image_id in self.drop or image_id in self.more_uris for image_id in ids)


def find_duplicates(
    reports: Sequence[ShardReport], present: Mapping[str, str] | None = None
) -> tuple[dict[str, Changes], list[Duplicate]]:
    """What to change per shard id, and the list for the manifest; the first in order of `reports` stays.

    `present` holds the images of files that are not to be touched (image id -> uri): they come first.
    """
    first: dict[str, tuple[str | None, str]] = {i: (None, uri) for i, uri in (present or {}).items()}
    changes: dict[str, Changes] = {report.shard_id: Changes() for report in reports}
    listed: dict[str, Duplicate] = {}
    for report in reports:
        for image in report.images:
            if image.image_id not in first:
                first[image.image_id] = (report.shard_id, image.uris[0])
                if len(image.uris) > 1:
                    _list_duplicate(listed, image.image_id, image.uris[0], image.uris[1:])
                continue
            keeper, uri = first[image.image_id]
            changes[report.shard_id].drop.add(image.image_id)
            if keeper is not None:
                changes[keeper].more_uris.setdefault(image.image_id, []).extend(image.uris)
            _list_duplicate(listed, image.image_id, uri, image.uris)
    return changes, list(listed.values())


def settle_shard(store: Store, report: ShardReport, changes: Changes) -> tuple[list[ManifestFile], Counts]:
    """Bring a shard's files to `data/`; returns what the manifest lists and counts of them."""
    touched = changes.touch(image.image_id for image in report.images)
    if not touched:
        return [_move(store, file, report.index) for file in report.files], report.counts
    placed: list[ManifestFile] = []
    counts = Counts(rejected=report.counts.rejected)
    for file in report.files:
        rows = changes.apply(read_rows_of(store, file.path))
        counts += count_rows(rows)
        if rows:
            placed.append(write_rows(store, data_file(str(file.split), report.index), rows))
        else:
            store.delete(data_file(str(file.split), report.index))
    return placed, counts


def read_rows_of(store: Store, path: str) -> list[ImageRow]:
    """All rows of one Parquet file of the store."""
    try:
        data = store.read_bytes(path)
    except FileNotFoundError as error:
        raise StorageError(
            f"{store.address(path)} is gone: delete the dataset's folder and run again"
        ) from error
    return list(table_to_rows(pq.read_table(io.BytesIO(data))))


def read_rejects_of(store: Store, path: str) -> list[Reject]:
    """All rejects of one Parquet file of the store; none where there is no such file."""
    try:
        return table_to_rejects(pq.read_table(io.BytesIO(store.read_bytes(path))))
    except FileNotFoundError:
        return []


def write_rows(store: Store, path: str, rows: Sequence[ImageRow]) -> ManifestFile:
    """Write rows as a data file and describe it."""
    return write_file(store, path, encode_rows(rows), len(rows))


def write_rejects(store: Store, rejects: Sequence[Reject], path: str = REJECTS) -> ManifestFile:
    """Write the rejects (none: an empty file) and describe the file."""
    return write_file(store, path, encode_rejects(rejects), len(rejects))


def write_file(store: Store, path: str, data: bytes, num_rows: int) -> ManifestFile:
    """Write a file and describe it as a manifest does."""
    store.write_bytes(path, data)
    digest = hashlib.sha256(data).hexdigest()
    return ManifestFile(path=path, num_rows=num_rows, num_bytes=len(data), sha256=digest)


def _move(store: Store, file: ShardFile, index: int) -> ManifestFile:
    target = data_file(str(file.split), index)
    try:
        store.move(file.path, target)
    except FileNotFoundError as error:
        # An earlier finalise moved it and was cut off before the manifest.
        if not store.exists(target) or store.size(target) != file.num_bytes:
            raise StorageError(
                f"{store.address(file.path)} is gone: delete the dataset's folder and run again"
            ) from error
    return ManifestFile(path=target, num_rows=file.num_rows, num_bytes=file.num_bytes, sha256=file.sha256)


def _list_duplicate(listed: dict[str, Duplicate], image_id: str, kept: str, dropped: list[str]) -> None:
    entry = listed.setdefault(image_id, Duplicate(image_id=image_id, kept=kept, dropped=[]))
    entry.dropped.extend(uri for uri in dropped if uri != kept and uri not in entry.dropped)
