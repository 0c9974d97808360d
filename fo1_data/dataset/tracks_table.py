"""Videos and tracks to Arrow and back, by the explicit schemas of `schemas.tracks`; nothing is inferred.

Boxes and scores are stored as float32: a track whose numbers are float32 values comes back equal. Does no
input or output.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from fo1_data.dataset.arrow_columns import array_to_numpy, records_to_table, to_scalar
from fo1_data.errors import DatasetError
from schemas.problems import problem_of_written
from schemas.tracks import TRACK_SCHEMA, VIDEO_SCHEMA, Track, VideoRow

# A frame of a track: its number, its time, its box and its score.
_BYTES_A_FRAME = 4 + 8 + 16 + 4
_BYTES_A_TRACK = 1_000
_NO_FRAMES = to_scalar(0, pa.int32())


def tracks_to_table(tracks: Sequence[Track]) -> pa.Table:
    """The tracks as one table of `TRACK_SCHEMA`."""
    return records_to_table([track.model_dump() for track in tracks], TRACK_SCHEMA)


def videos_to_table(videos: Sequence[VideoRow]) -> pa.Table:
    """The videos as one table of `VIDEO_SCHEMA`."""
    return records_to_table([video.model_dump() for video in videos], VIDEO_SCHEMA)


def table_to_tracks(table: pa.Table | pa.RecordBatch) -> Iterator[Track]:
    """The tracks of a table, in order. Raises DatasetError on a broken one."""
    for record in table.to_pylist():
        try:
            yield Track.model_validate(record)
        except ValidationError as error:
            raise DatasetError(f"track {record.get('track_id')!r}: {problem_of_written(error)}") from error


def table_to_videos(table: pa.Table | pa.RecordBatch) -> Iterator[VideoRow]:
    """The videos of a table, in order. Raises DatasetError on a broken one."""
    for record in table.to_pylist():
        try:
            yield VideoRow.model_validate(record)
        except ValidationError as error:
            raise DatasetError(f"video {record.get('uri')!r}: {problem_of_written(error)}") from error


def bytes_of_tracks(table: pa.Table) -> npt.NDArray[np.int64]:
    """About how many bytes (N,) each track of a table takes in memory."""
    lengths = pc.fill_null(pc.list_value_length(table["frames"]), _NO_FRAMES).combine_chunks()
    return _BYTES_A_TRACK + _BYTES_A_FRAME * array_to_numpy(lengths).astype(np.int64)


def merge_videos(videos: Iterable[VideoRow]) -> list[VideoRow]:
    """One row per `video_id`: the first stays, in its place, with all addresses in `uris`."""
    kept: dict[str, VideoRow] = {}
    for video in videos:
        first = kept.get(video.video_id)
        kept[video.video_id] = video if first is None else with_addresses(first, video.uris)
    return list(kept.values())


def merge_tracks(tracks: Iterable[Track]) -> list[Track]:
    """One track per `track_id`: the first stays, in its place."""
    kept: dict[str, Track] = {}
    for track in tracks:
        kept.setdefault(track.track_id, track)
    return list(kept.values())


def with_addresses(video: VideoRow, more: Iterable[str]) -> VideoRow:
    """A copy of the video with the addresses `more` added, each once, in order."""
    return video.model_copy(update={"uris": list(dict.fromkeys([*video.uris, *more]))})
