"""What one try of a shard writes, in whatever process it runs: Parquet files, then a marker.

Each try writes into a folder of its own. The marker is made last and only if there is none, so exactly
one try of a shard counts; any other removes its files and returns the report of the one that counts. A
late write of a lost worker therefore changes nothing.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from fo1_data.corpus.rejects import annotations_sha256
from fo1_data.dataset.counting import count_rows
from fo1_data.dataset.done_shards import read_report
from fo1_data.dataset.layout import RUN, marker, try_folder
from fo1_data.dataset.parquet_files import encode_rejects, encode_rows, row_bytes, row_group_sizes
from fo1_data.dataset.rows import merge_duplicates
from fo1_data.errors import StorageError
from fo1_data.storage.store import Store, open_store
from schemas.corpus import Shard
from schemas.dataset import ShardFile, ShardImage, ShardMarker, ShardReport
from schemas.images import ImageRow, Reject


@dataclass(frozen=True)
class WriteOptions:
    """Where a run's shards go: its run folder, and the number of its first data file."""

    run: str = RUN
    first_index: int = 0


def write_shard(
    out: str,
    shard: Shard,
    rows: Sequence[ImageRow],
    rejects: Sequence[Reject],
    try_id: str,
    options: WriteOptions | None = None,
    seconds: float = 0.0,
) -> ShardReport:
    """Write the rows and rejects of a try of `shard` under `out`, and mark the shard done.

    `try_id` is unique to the try. Rows with equal bytes become one. Returns the report of the try
    that counts: this one, or an earlier one. Raises StorageError if the store is full or lost;
    then no marker is there and the shard is tried again.
    """
    options = options or WriteOptions()
    store = open_store(out)
    earlier = read_report(store, options.run, shard.shard_id)
    if earlier is not None:
        return earlier
    rows = merge_duplicates(rows)
    index = options.first_index + shard.index
    folder = try_folder(options.run, index, try_id)
    files = [
        _write(store, f"{folder}/{split}.parquet", encode_rows(of_split), split, row_group_sizes(of_split))
        for split, of_split in sorted(_by_split(rows).items())
    ]
    reject_file = None
    if rejects:
        reject_file = _write(
            store, f"{folder}/rejects.parquet", encode_rejects(rejects), None, [len(rejects)]
        )
    annotations = {entry.name: annotations_sha256(entry) for entry in shard.images}
    images = [
        ShardImage(image_id=row.image_id, uris=row.uris, annotations_sha256=annotations.get(row.uri))
        for row in rows
    ]
    marker_of_try = ShardMarker(
        shard_id=shard.shard_id,
        index=index,
        try_id=try_id,
        files=files,
        rejects=reject_file,
        images=images,
        counts=count_rows(rows, rejected=len(rejects)),
        seconds=seconds,
        row_bytes=sum(map(row_bytes, rows)),
    )
    return _claim(store, marker_of_try, options.run)


def _by_split(rows: Sequence[ImageRow]) -> dict[str, list[ImageRow]]:
    by_split: dict[str, list[ImageRow]] = {}
    for row in rows:
        by_split.setdefault(row.split, []).append(row)
    return by_split


def _write(store: Store, path: str, data: bytes, split: str | None, row_group_rows: list[int]) -> ShardFile:
    store.write_bytes(path, data)
    return ShardFile(
        split=split,
        path=path,
        num_rows=sum(row_group_rows),
        num_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        row_group_rows=row_group_rows,
    )


def _claim(store: Store, marker_of_try: ShardMarker, run: str) -> ShardReport:
    """Mark the shard done by this try, or delete this try and return the report of the first."""
    path = marker(run, marker_of_try.shard_id)
    if store.create_exclusive(path, marker_of_try.model_dump_json().encode()):
        return ShardReport.model_validate(marker_of_try.model_dump(exclude={"images"}))
    for file in (*marker_of_try.files, marker_of_try.rejects):
        if file is not None:
            store.delete(file.path)
    winner = read_report(store, run, marker_of_try.shard_id)
    if winner is None:
        raise StorageError(f"{store.address(path)} was there and is gone: another program writes here")
    return winner
