"""The videos and tracks of all shards as the two tables of a version, in the order of the shards.

Equal videos in several shards become one: the first stays with all addresses, and the tracks of the others
go with them. Safe to repeat after a crash at any point. Memory: a few row groups, and the ids and addresses
of all videos.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from fo1_data.dataset.arrow_columns import to_array
from fo1_data.dataset.done_shards import gone_file
from fo1_data.dataset.layout import TRACKS, VIDEOS, is_table
from fo1_data.dataset.shard_placement import PlacedFiles, PlacedTable
from fo1_data.dataset.table_files import read_tables, write_tables
from fo1_data.storage.store import Store
from schemas.dataset import Duplicate, Manifest, ManifestFile
from schemas.shards import ShardFile
from schemas.tracks import TRACK_SCHEMA, VIDEO_SCHEMA

# Rows of one shard, by its index; those of an earlier version come before all shards.
_Pieces = Iterator[tuple[int, pa.Table]]
_EARLIER = -1
_SCHEMAS = {VIDEOS: VIDEO_SCHEMA, TRACKS: TRACK_SCHEMA}


@dataclass(frozen=True)
class PlacedTracks:
    """The files of a version's videos and tracks (none: it has none), and the videos found several times."""

    files: list[ManifestFile] = field(default_factory=list)
    duplicates: list[Duplicate] = field(default_factory=list)


def place_tracks(
    store: Store, planned: Sequence[PlacedFiles], earlier: Manifest | None = None
) -> PlacedTracks:
    """Write the tables of videos and tracks. `earlier`: the version in the same folder whose rows come first.

    Raises StorageError if a file of a shard is gone.
    """
    shards = {
        table: [placed.tables[table] for placed in planned if table in placed.tables] for table in _SCHEMAS
    }
    sources = {table: [*_of_earlier(earlier, table), *shards[table]] for table in _SCHEMAS}
    if not any(sources.values()):
        return PlacedTracks()
    videos = _Videos()
    for shard, rows in _pieces(store, sources[VIDEOS]):
        videos.see(shard, rows)
    files = [
        _write(store, VIDEOS, map(videos.of_videos, _pieces(store, sources[VIDEOS]))),
        _write(store, TRACKS, map(videos.of_tracks, _pieces(store, sources[TRACKS]))),
    ]
    return PlacedTracks(files, videos.duplicates())


class _Videos:
    """The videos of all shards by id: the shard of the first, and the addresses of all."""

    def __init__(self) -> None:
        self._first: dict[str, int] = {}
        self._uris: dict[str, list[str]] = {}
        self._several: dict[str, None] = {}
        self._dropped: dict[int, list[str]] = {}

    def see(self, shard: int, rows: pa.Table) -> None:
        ids, uris = rows["video_id"].to_pylist(), rows["uris"].to_pylist()
        for video_id, addresses in zip(ids, uris, strict=True):
            if self._first.setdefault(video_id, shard) != shard:
                self._dropped.setdefault(shard, []).append(video_id)
            known = self._uris.setdefault(video_id, [])
            known += [uri for uri in addresses if uri not in known]
            if len(known) > 1:
                self._several[video_id] = None

    def of_videos(self, piece: tuple[int, pa.Table]) -> pa.Table:
        """The videos of a shard that stay, with the addresses that they gain."""
        rows = self.of_tracks(piece)
        if not self._several:
            return rows
        ids = rows["video_id"].to_pylist()
        place = rows.schema.get_field_index("uris")
        uris = to_array([self._uris[video_id] for video_id in ids], rows.schema.field(place).type)
        return rows.set_column(place, rows.schema.field(place), uris)

    def of_tracks(self, piece: tuple[int, pa.Table]) -> pa.Table:
        """The rows of a shard that are of a video that stays there."""
        shard, rows = piece
        if shard not in self._dropped:
            return rows
        dropped = to_array(self._dropped[shard], pa.string())
        return rows.filter(pc.invert(pc.is_in(rows["video_id"], value_set=dropped)))

    def duplicates(self) -> list[Duplicate]:
        """The videos that were found at several addresses."""
        addresses = ((video_id, *self._uris[video_id]) for video_id in self._several)
        return [
            Duplicate(image_id=video_id, kept=kept, dropped=dropped) for video_id, kept, *dropped in addresses
        ]


def _of_earlier(earlier: Manifest | None, table: str) -> list[PlacedTable]:
    files = [file for file in earlier.files if is_table(file.path, table)] if earlier is not None else []
    return [PlacedTable(_as_shard_file(file), [(_EARLIER, file.num_rows)]) for file in files]


def _as_shard_file(file: ManifestFile) -> ShardFile:
    return ShardFile(
        split=None, path=file.path, num_rows=file.num_rows, num_bytes=file.num_bytes, sha256=file.sha256
    )


def _pieces(store: Store, sources: Iterable[PlacedTable]) -> _Pieces:
    """The rows of all files, cut where those of a shard end."""
    for source in sources:
        left = list(source.num_rows)
        try:
            for rows in read_tables(store, [source.file]):
                start = 0
                while start < rows.num_rows:
                    shard, num_left = left.pop(0)
                    num = min(num_left, rows.num_rows - start)
                    if num < num_left:
                        left.insert(0, (shard, num_left - num))
                    yield shard, rows.slice(start, num)
                    start += num
        except FileNotFoundError as error:
            raise gone_file(store, source.file.path) from error


def _write(store: Store, table: str, rows: Iterable[pa.Table]) -> ManifestFile:
    written = write_tables(store, table, _SCHEMAS[table], rows, None)
    return ManifestFile(**written.model_dump(exclude={"split", "schema_revision"}))
