"""The videos and tracks of a version that is made from another one: taken over, or written with changes.

Rows that do not change stay Arrow columns. Memory: a batch, and what `change` holds.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fo1_data.dataset.arrow_columns import array_to_numpy
from fo1_data.dataset.items import Items
from fo1_data.dataset.layout import TRACKS, VIDEOS
from fo1_data.dataset.reader import Dataset
from fo1_data.dataset.tracks_table import (
    table_to_tracks,
    table_to_videos,
    tracks_to_table,
    videos_to_table,
)
from fo1_data.dataset.versions.derive import VersionWriter
from schemas.tracks import TRACK_SCHEMA, VIDEO_SCHEMA, Track, VideoRow

# True (N,) for the rows of a batch that are to be changed. The batch has at least `_LIGHT` columns.
Touches = Callable[[pa.RecordBatch], npt.NDArray[np.bool_]]
_SCHEMAS = {VIDEOS: VIDEO_SCHEMA, TRACKS: TRACK_SCHEMA}
_LIGHT = {VIDEOS: ["video_id", "keyframes"], TRACKS: ["track_id", "video_id", "keyframes"]}


def rewrite_videos(
    writer: VersionWriter, dataset: Dataset, touches: Touches, change: Callable[[VideoRow], VideoRow | None]
) -> None:
    """Write the videos with `change` made to those that `touches` finds; None: the video goes."""

    def changed(batch: pa.RecordBatch) -> pa.Table:
        made = [new for video in table_to_videos(batch) if (new := change(video)) is not None]
        return videos_to_table(made)

    _rewrite(writer, dataset, VIDEOS, touches, changed)


def rewrite_tracks(
    writer: VersionWriter, dataset: Dataset, touches: Touches, change: Callable[[Track], Track | None]
) -> None:
    """Write the tracks with `change` made to those that `touches` finds; None: the track goes."""

    def changed(batch: pa.RecordBatch) -> pa.Table:
        made = [new for track in table_to_tracks(batch) if (new := change(track)) is not None]
        return tracks_to_table(made)

    _rewrite(writer, dataset, TRACKS, touches, changed)


def replace_tracks(
    writer: VersionWriter, dataset: Dataset, change: Callable[[list[Track]], list[Track]]
) -> None:
    """Write all tracks with `change` made to those of each batch; they are taken over if it changes none."""
    batches = (list(table_to_tracks(batch)) for batch in dataset.batches_of(TRACKS))
    if all(change(tracks) == tracks for tracks in batches):
        writer.share_table(dataset.store, TRACKS)
        return
    changed = (change(list(table_to_tracks(batch))) for batch in dataset.batches_of(TRACKS))
    writer.write_table(TRACKS, TRACK_SCHEMA, map(tracks_to_table, changed))


def rows_with_keyframes(batch: pa.RecordBatch, image_ids: pa.StringArray) -> npt.NDArray[np.bool_]:
    """True (N,) for the videos or tracks with a keyframe that is one of these images."""
    keyframes = Items.of(batch.select(["keyframes"]))["keyframes"].each["image_id"]
    found = np.zeros(batch.num_rows, bool)
    found[keyframes.where(pc.is_in(keyframes.values, value_set=image_ids)).rows] = True
    return found


def rows_with(batch: pa.RecordBatch, column: str, values: pa.StringArray) -> npt.NDArray[np.bool_]:
    """True (N,) for the rows in which a column has one of these values."""
    return np.asarray(array_to_numpy(pc.is_in(batch[column], value_set=values)), np.bool_)


def every_row(batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """True (N,)."""
    return np.ones(batch.num_rows, bool)


def without_keyframes(row: Any, image_ids: frozenset[str]) -> Any:
    """A video or track without the keyframes that are one of these images."""
    kept = [keyframe for keyframe in row.keyframes if keyframe.image_id not in image_ids]
    return row.model_copy(update={"keyframes": kept})


def _rewrite(
    writer: VersionWriter,
    dataset: Dataset,
    table: str,
    touches: Touches,
    changed: Callable[[pa.RecordBatch], pa.Table],
) -> None:
    if not any(touches(batch).any() for batch in dataset.batches_of(table, _LIGHT[table])):
        writer.share_table(dataset.store, table)
        return
    batches = dataset.batches_of(table)
    writer.write_table(
        table, _SCHEMAS[table], (part for batch in batches for part in _parts(batch, touches(batch), changed))
    )


def _parts(
    batch: pa.RecordBatch,
    touched: npt.NDArray[np.bool_],
    changed: Callable[[pa.RecordBatch], pa.Table],
) -> Iterator[pa.Table]:
    """The rows of a batch in order, those that are touched changed."""
    starts = np.flatnonzero(np.diff(touched, prepend=~touched[:1])).tolist()
    for start, stop in zip(starts, [*starts[1:], batch.num_rows], strict=True):
        run = batch.slice(start, stop - start)
        yield changed(run) if touched[start] else pa.Table.from_batches([run])
