"""What is wrong with the videos and tracks of a dataset, in words; a part of `validate`.

Whole columns are checked at once. Memory: the ids of images, videos and tracks, and what `tracked_regions`
holds. Changes nothing.
"""

from collections.abc import Container, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fo1_data.dataset.arrow_columns import array_to_numpy, numpy_to_array, to_array, to_scalar
from fo1_data.dataset.items import Items, Rows
from fo1_data.dataset.layout import TRACKS, VIDEOS
from fo1_data.dataset.reader import Dataset
from fo1_data.dataset.row_problems import BORDER_PX
from fo1_data.dataset.tracked_regions import KeyedBoxes, boxes_of, region_problems
from fo1_data.errors import DatasetError
from schemas.labels import Decision, Source
from schemas.tracks import TRACK_SCHEMA, VIDEO_SCHEMA

_WORDS = to_array([decision.value for decision in Decision], pa.string())
_NONE = to_scalar(-1, pa.int32())
_EACH = ("frames", "times_s", "boxes_xyxy", "scores")
# More than the frames of any video: with it, a row and a frame make one number.
_MOST_FRAMES = 2**31


def table_problems(dataset: Dataset, image_ids: Container[str], regions: KeyedBoxes) -> Iterator[str]:
    """The problems of videos and tracks, and of the regions that name one. `image_ids`: of all rows.

    In a dataset without videos, regions may name tracks that only their source knows. Raises DatasetError if
    a table cannot be read, and what Arrow raises.
    """
    videos = _Videos(image_ids)
    for batch in dataset.batches_of(VIDEOS):
        _check_columns(batch, VIDEO_SCHEMA, VIDEOS)
        yield from (f"{VIDEOS}: {problem}" for problem in videos.problems(batch))
    tracks = _Tracks(videos, image_ids, dataset.manifest.config.get("track_every") or 1)
    for batch in dataset.batches_of(TRACKS):
        _check_columns(batch, TRACK_SCHEMA, TRACKS)
        yield from (f"{TRACKS}: {problem}" for problem in tracks.problems(batch))
    if videos.sizes:
        yield from region_problems(regions, tracks.keyframes, to_array(list(tracks.seen), pa.string()))


class _Videos:
    """Checks videos. `sizes`: width, height and number of frames by id; `num_shots`: by id."""

    def __init__(self, image_ids: Container[str]) -> None:
        self._image_ids = image_ids
        self.sizes: dict[str, tuple[int, int, int]] = {}
        self.shots: dict[str, list[tuple[int, int]]] = {}

    def problems(self, batch: pa.RecordBatch) -> Iterator[str]:
        for record in batch.to_pylist():
            where = f"video {(record['video_id'] or '')[:16]}"
            yield from (f"{where}: {problem}" for problem in self._video_problems(record))

    def _video_problems(self, record: dict[str, Any]) -> Iterator[str]:
        video_id, num_frames = record["video_id"], record["num_frames"]
        if video_id in self.sizes:
            yield "listed twice"
        self.sizes[video_id] = (record["width"], record["height"], num_frames)
        spans = [(shot["first_frame"], shot["last_frame"]) for shot in record["shots"]]
        self.shots[video_id] = spans
        if not record["uris"] or record["uris"][0] != record["uri"]:
            yield "uri is not the first of uris"
        if record["width"] < 1 or record["height"] < 1:
            yield f"no frame: {record['width']} x {record['height']}"
        behind = [-1, *(last for _, last in spans)]
        for (first, last), before in zip(spans, behind, strict=False):
            if not before < first <= last < num_frames:
                yield f"shot {first} to {last} is not behind the last one, or not within {num_frames} frames"
        frames = [keyframe["frame"] for keyframe in record["keyframes"]]
        if frames != sorted(set(frames)) or any(not 0 <= frame < num_frames for frame in frames):
            yield f"its keyframes do not ascend within {num_frames} frames"
        for keyframe in record["keyframes"]:
            if keyframe["image_id"] not in self._image_ids:
                yield f"keyframe {keyframe['frame']} is image {keyframe['image_id'][:16]}, which is no row"


class _Tracks:
    """Checks tracks. `seen`: their ids. `keyframes`: their boxes in the rows of keyframes, clipped to these.

    track_every: how many frames lie between those in which a thing was looked for.
    """

    def __init__(self, videos: _Videos, image_ids: Container[str], track_every: int) -> None:
        self._videos, self._image_ids, self._every = videos, image_ids, track_every
        self.seen: dict[str, None] = {}
        self.keyframes = KeyedBoxes()

    def problems(self, batch: pa.RecordBatch) -> Iterator[str]:
        ids = batch["track_id"].to_pylist()
        for place, problem in sorted(self._problems(batch), key=lambda found: found[0]):
            yield f"track {ids[place]}: {problem}"

    def _problems(self, batch: pa.RecordBatch) -> Iterator[tuple[int, str]]:
        for place, track_id in enumerate(batch["track_id"].to_pylist()):
            if track_id in self.seen:
                yield place, "listed twice"
            self.seen[track_id] = None
        yield from _decision_problems(batch)
        track, num = Items.of(batch), batch.num_rows
        lengths = {name: np.bincount(track[name].each.rows, minlength=num) for name in _EACH}
        known = np.array([video in self._videos.sizes for video in batch["video_id"].to_pylist()], bool)
        yield from ((place, "its video is not there") for place in np.flatnonzero(~known).tolist())
        uneven = np.zeros(num, bool)
        for name in _EACH[1:]:
            uneven |= lengths[name] != lengths["frames"]
        for place in np.flatnonzero(uneven).tolist():
            counts = ", ".join(f"{lengths[name][place]} {name}" for name in _EACH)
            yield place, f"its lists differ in length: {counts}"
        empty = lengths["frames"] == 0
        yield from ((place, "it has no frame") for place in np.flatnonzero(empty & ~uneven).tolist())
        whole = np.flatnonzero(known & ~uneven & ~empty)
        if len(whole):
            checked = _Frames(batch.take(numpy_to_array(whole)), self._videos, self._every)
            for place, problem in (*checked.problems(), *checked.keyframe_problems(self._image_ids)):
                yield int(whole[place]), problem
            checked.add_keyframes(self.keyframes)


class _Frames:
    """Checks the frames of tracks, each with a frame at least and lists of one length, of known videos."""

    def __init__(self, batch: pa.RecordBatch, videos: _Videos, every: int) -> None:
        self._batch, self._track, self._videos = batch, Items.of(batch), videos
        self._frames = self._track["frames"].each.numpy().astype(np.int64)
        self._rows = self._track["frames"].each.rows
        self._boxes = boxes_of(self._track["boxes_xyxy"].each.values)
        sizes = [videos.sizes[video_id] for video_id in batch["video_id"].to_pylist()]
        self._sizes = np.array(sizes, np.int64).reshape(-1, 3)
        given = array_to_numpy(pc.equal(batch["box_source"], to_scalar(Source.CORPUS.value, pa.string())))
        self._is_given, self._steps = given, np.where(given, 1, every)

    def problems(self) -> Iterator[tuple[int, str]]:
        starts = np.searchsorted(self._rows, np.arange(len(self._sizes)))
        ends = np.append(starts[1:], len(self._frames)) - 1
        first, last = (self._track[name].numpy() for name in ("first_frame", "last_frame"))
        same = self._rows[1:] == self._rows[:-1]
        times = self._track["times_s"].each.numpy()
        falls = self._rows[1:][same & (np.diff(self._frames) <= 0)]
        yield from _said(falls, "its frames do not ascend")
        yield from _said(self._rows[1:][same & (np.diff(times) < 0)], "its times do not ascend")
        yield from _said(self._rows[~np.isfinite(times)], "its times are not finite")
        others = (self._frames[starts] != first) | (self._frames[ends] != last)
        yield from _said(np.flatnonzero(others), "first_frame or last_frame is not that of its frames")
        outside = (self._frames < 0) | (self._frames >= self._sizes[self._rows, 2])
        yield from _said(self._rows[outside], "it has frames that its video does not have")
        yield from _said(self._outside_shots(first, last), "it is not within its shot")
        yield from self._box_problems()
        scores = self._track["scores"].each.present
        values = scores.numpy()
        yield from _said(scores.rows[~((values >= 0) & (values <= 1))], "its scores are not within 0 and 1")
        if not len(falls):
            yield from _said(self._wrong_gaps(same), "its gaps are not those between its frames")

    def keyframe_problems(self, image_ids: Container[str]) -> Iterator[tuple[int, str]]:
        keyframes = self._track["keyframes"].each
        at = self._places(keyframes)
        ids = keyframes["image_id"].values.to_pylist()
        for row, frame, place, image_id in zip(
            keyframes.rows.tolist(), keyframes["frame"].values.to_pylist(), at.tolist(), ids, strict=True
        ):
            if place < 0:
                yield row, f"keyframe {frame} is none of its frames"
            if image_id not in image_ids:
                yield row, f"keyframe {frame} is image {image_id[:16]}, which is no row"

    def add_keyframes(self, boxes: KeyedBoxes) -> None:
        """Add the boxes in keyframes, clipped to the frame."""
        keyframes = self._track["keyframes"].each
        at = self._places(keyframes)
        found = np.flatnonzero(at >= 0)
        rows = keyframes.rows[found]
        widths_heights = self._sizes[rows][:, [0, 1, 0, 1]]
        clipped = np.clip(self._boxes[at[found]], 0, widths_heights).astype(np.float32)
        track_ids = self._batch["track_id"].take(numpy_to_array(rows))
        boxes.add(keyframes["image_id"].at(found), track_ids, clipped)

    def _places(self, keyframes: Items) -> Rows:
        """For each keyframe the place of its frame among all frames; -1 if it is not there."""
        keys = self._rows * _MOST_FRAMES + self._frames
        wanted = keyframes.rows * _MOST_FRAMES + keyframes["frame"].numpy().astype(np.int64)
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[places] == wanted, places, -1)

    def _box_problems(self) -> Iterator[tuple[int, str]]:
        is_finite = np.isfinite(self._boxes).all(axis=1)
        yield from _said(self._rows[~is_finite], "it has boxes that are not finite")
        low, high = self._boxes[:, :2], self._boxes[:, 2:]
        yield from _said(self._rows[is_finite & ~(low < high).all(axis=1)], "it has boxes without an area")
        most = self._sizes[self._rows, :2] + BORDER_PX
        inside = ((low >= -BORDER_PX) & (high <= most)).all(axis=1)
        # What a corpus gives may leave the frame, as the thing does.
        outside = is_finite & ~inside & ~self._is_given[self._rows]
        yield from _said(self._rows[outside], "it has boxes outside the frame")

    def _outside_shots(self, first: npt.NDArray[Any], last: npt.NDArray[Any]) -> Rows:
        outside = []
        shots = zip(self._batch["video_id"].to_pylist(), self._track["shot"].values.to_pylist(), strict=True)
        for place, (video_id, shot) in enumerate(shots):
            spans = self._videos.shots[video_id]
            if not 0 <= shot < len(spans) or first[place] < spans[shot][0] or last[place] > spans[shot][1]:
                outside.append(place)
        return np.array(outside, np.int64)

    def _wrong_gaps(self, same: npt.NDArray[np.bool_]) -> Rows:
        rows = self._rows[1:]
        behind = same & (np.diff(self._frames) > self._steps[rows])
        expected = np.stack([rows, self._frames[:-1] + 1, self._frames[1:] - 1], axis=1)[behind]
        gaps = self._track["gaps"].each
        spans = [gaps[name].numpy().astype(np.int64) for name in ("first_frame", "last_frame")]
        listed = np.stack([gaps.rows, *spans], axis=1)
        if np.array_equal(listed, expected):
            return np.zeros(0, np.int64)
        wrong = {tuple(gap) for gap in listed.tolist()} ^ {tuple(gap) for gap in expected.tolist()}
        return np.array(sorted({row for row, _, _ in wrong}), np.int64)


def _decision_problems(batch: pa.RecordBatch) -> Iterator[tuple[int, str]]:
    track = Items.of(batch)
    labels = [track["labels"].each, *(track[name].each["label"] for name in ("phrases", "answers"))]
    strictest = np.full(batch.num_rows, -1)
    for of_kind in labels:
        np.maximum.at(strictest, of_kind.rows, _ranks(of_kind["decision"].values))
        confidences = of_kind["confidence"].present
        values = confidences.numpy()
        yield from _said(
            confidences.rows[~((values >= 0) & (values <= 1))], "a confidence is not within 0 and 1"
        )
    wrong = np.flatnonzero(strictest != _ranks(batch["decision"]))
    yield from _said(wrong, "its decision is not the strictest of its labels'")


def _ranks(decisions: pa.Array) -> npt.NDArray[np.int64]:
    """The strictness (N,) of decisions, -1 where there is none."""
    return array_to_numpy(pc.fill_null(pc.index_in(decisions, value_set=_WORDS), _NONE)).astype(np.int64)


def _said(rows: npt.NDArray[Any], problem: str) -> Iterator[tuple[int, str]]:
    """The problem once for each of these rows."""
    for row in np.unique(rows).tolist():
        yield row, problem


def _check_columns(batch: pa.RecordBatch, schema: pa.Schema, table: str) -> None:
    for field in schema:
        if field.name not in batch.schema.names or not batch.schema.field(field.name).type.equals(field.type):
            raise DatasetError(f"column {field.name} is missing or of another type")
    batch.validate(full=True)
