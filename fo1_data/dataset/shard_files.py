"""What one try of a shard writes, in whatever process it runs: Parquet files, then a marker.

Each try writes into a folder of its own. The marker is made last and only if there is none, so exactly
one try of a shard counts; any other removes its files and returns the report of the one that counts. A
late write of a lost worker therefore changes nothing.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from fo1_data.corpus.rejects import annotations_sha256
from fo1_data.corpus.tile_names import image_of_tile, tile_name
from fo1_data.dataset.arrow_columns import to_array
from fo1_data.dataset.checked_json import with_checksum
from fo1_data.dataset.counting import count_batch, count_rows
from fo1_data.dataset.done_shards import read_report
from fo1_data.dataset.layout import REJECTS, RUN, TRACKS, VIDEOS, marker, try_folder
from fo1_data.dataset.parquet_files import (
    bytes_of_rows,
    encode_batches,
    encode_rejects,
    encode_rows,
    row_bytes,
    row_group_sizes,
)
from fo1_data.dataset.rows import merge_duplicates
from fo1_data.dataset.table_files import write_tables
from fo1_data.dataset.tracks_table import merge_tracks, merge_videos, tracks_to_table, videos_to_table
from fo1_data.errors import StorageError
from fo1_data.storage.store import Store, open_store
from schemas.corpus import CorpusImage, Shard
from schemas.dataset import SCHEMA_REVISION, Counts
from schemas.images import ImageRow, Reject
from schemas.shards import ShardFile, ShardImage, ShardMarker, ShardReport
from schemas.tracks import TRACK_SCHEMA, VIDEO_SCHEMA, Track, VideoRow


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
    tracks: Sequence[Track] = (),
    videos: Sequence[VideoRow] = (),
) -> ShardReport:
    """Write the rows and rejects of a try of `shard` under `out`, and mark the shard done.

    `try_id` is unique to the try. Rows with equal bytes become one; so do equal videos, and tracks with one
    id. Returns the report of the try that counts: this one, or an earlier one. Raises StorageError if the
    store is full or lost; then no marker is there and the shard is tried again.
    """
    rows, tracks, videos = merge_duplicates(rows), merge_tracks(tracks), merge_videos(videos)
    encoded = {
        split: (encode_rows(of_split), row_group_sizes(of_split))
        for split, of_split in sorted(_by_split(rows).items())
    }
    content = _Content(
        encoded,
        [(row.image_id, row.uri, row.uris) for row in rows],
        count_rows(rows, len(rejects)) + Counts(tracks=len(tracks), videos=len(videos)),
        sum(map(row_bytes, rows)),
        tracks_to_table(tracks) if tracks else None,
        videos_to_table(videos) if videos else None,
    )
    return _write_try(open_store(out), shard, content, rejects, try_id, options or WriteOptions(), seconds)


def write_shard_batches(
    out: str,
    shard: Shard,
    batches: Sequence[pa.RecordBatch],
    rejects: Sequence[Reject],
    try_id: str,
    options: WriteOptions | None = None,
    seconds: float = 0.0,
) -> ShardReport:
    """`write_shard` of rows in batches of `IMAGE_SCHEMA`, which have one row each and become no models."""
    batches = _merge_equal(batches)
    by_split: dict[str, list[pa.RecordBatch]] = {}
    for batch in batches:
        by_split.setdefault(batch["split"][0].as_py(), []).append(batch)
    encoded = {split: encode_batches(of_split) for split, of_split in sorted(by_split.items())}
    names = [tuple(batch[name][0].as_py() for name in ("image_id", "uri", "uris")) for batch in batches]
    content = _Content(
        encoded,
        names,
        sum((count_batch(batch) for batch in batches), Counts(rejected=len(rejects))),
        sum(int(bytes_of_rows(batch).sum()) for batch in batches),
    )
    return _write_try(open_store(out), shard, content, rejects, try_id, options or WriteOptions(), seconds)


@dataclass(frozen=True)
class _Content:
    """What a try writes. encoded: a file and its `row_group_rows` for each split; names: id, address and
    addresses of each row; tracks, videos: None if there are none."""

    encoded: dict[str, tuple[bytes, list[int]]]
    names: Sequence[tuple[str, str, list[str]]]
    counts: Counts
    row_bytes: int
    tracks: pa.Table | None = None
    videos: pa.Table | None = None


def _write_try(
    store: Store,
    shard: Shard,
    content: _Content,
    rejects: Sequence[Reject],
    try_id: str,
    options: WriteOptions,
    seconds: float,
) -> ShardReport:
    earlier = read_report(store, options.run, shard.shard_id)
    if earlier is not None:
        return earlier
    index = options.first_index + shard.index
    folder = try_folder(options.run, index, try_id)
    files = [
        _write(store, f"{folder}/{split}.parquet", data, split, row_group_rows)
        for split, (data, row_group_rows) in content.encoded.items()
    ]
    reject_file = None
    if rejects:
        reject_file = _write(store, f"{folder}/{REJECTS}", encode_rejects(rejects), None, [len(rejects)])
    annotations = _annotations(shard.images)
    images = [
        ShardImage(image_id=image_id, uris=uris, annotations_sha256=annotations.get(uri))
        for image_id, uri, uris in content.names
    ]
    marker_of_try = ShardMarker(
        shard_id=shard.shard_id,
        index=index,
        try_id=try_id,
        files=files,
        rejects=reject_file,
        videos=_write_table(store, f"{folder}/{VIDEOS}", VIDEO_SCHEMA, content.videos),
        tracks=_write_table(store, f"{folder}/{TRACKS}", TRACK_SCHEMA, content.tracks),
        images=images,
        counts=content.counts,
        seconds=seconds,
        row_bytes=content.row_bytes,
    )
    return _claim(store, marker_of_try, options.run)


def _annotations(entries: Sequence[CorpusImage]) -> dict[str, str | None]:
    """A hash of what the corpus says of each image, by its address; of all its tiles, if it was cut."""
    of_tiles: dict[str, list[str]] = {}
    hashes: dict[str, str | None] = {}
    for entry in entries:
        own = annotations_sha256(entry)
        if tile_name(entry) is None:
            hashes[entry.name] = own
        elif own is not None:
            of_tiles.setdefault(image_of_tile(entry).name, []).append(own)
    for name, parts in of_tiles.items():
        hashes[name] = hashlib.sha256("".join(parts).encode()).hexdigest()
    return hashes


def _merge_equal(batches: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """One batch for each image: the first stays, in its place, with all addresses in `uris`."""
    kept: dict[str, pa.RecordBatch] = {}
    for batch in batches:
        image_id = batch["image_id"][0].as_py()
        if (first := kept.get(image_id)) is not None:
            uris = list(dict.fromkeys([*first["uris"][0].as_py(), *batch["uris"][0].as_py()]))
            place = first.schema.get_field_index("uris")
            field = first.schema.field(place)
            batch = first.set_column(place, field, to_array([uris], field.type))
        kept[image_id] = batch
    return list(kept.values())


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
        schema_revision=SCHEMA_REVISION,
    )


def _write_table(store: Store, path: str, schema: pa.Schema, table: pa.Table | None) -> ShardFile | None:
    return write_tables(store, path, schema, [table], None) if table is not None else None


def _claim(store: Store, marker_of_try: ShardMarker, run: str) -> ShardReport:
    """Mark the shard done by this try, or delete this try and return the report of the first."""
    path = marker(run, marker_of_try.shard_id)
    if store.create_exclusive(path, with_checksum(marker_of_try.model_dump_json().encode())):
        return ShardReport.model_validate(marker_of_try.model_dump(exclude={"images"}))
    for file in marker_of_try.all_files:
        store.delete(file.path)
    winner = read_report(store, run, marker_of_try.shard_id)
    if winner is None:
        raise StorageError(f"{store.address(path)} was there and is gone: another program writes here")
    return winner
