"""The tracks of a dataset while corrections are merged into it.

What is said of a track changes the rows of its keyframes; and where people have moved or deleted a region of
a track in such a row, the track follows. As rows are, tracks are made from those before any correction. Only
videos with corrections of their tracks or keyframes are read. Of a video that is not in the dataset (its
keyframes came with `--parent`) the history has the tracks, and only rows change. Memory: their tracks.
"""

from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

import pyarrow as pa

from fo1_data.dataset.arrow_columns import numpy_to_array, to_array
from fo1_data.dataset.corrections.tracks import CorrectedTracks, Statement, correct_tracks
from fo1_data.dataset.history import CorrectionHistory
from fo1_data.dataset.human_labels import is_locked
from fo1_data.dataset.layout import TRACKS, VIDEOS
from fo1_data.dataset.reader import Dataset
from fo1_data.dataset.tracks_table import table_to_tracks, table_to_videos, tracks_to_table
from fo1_data.dataset.versions.derive import VersionWriter
from fo1_data.dataset.versions.video_tables import rows_with, rows_with_keyframes
from schemas.corrections import Correction
from schemas.images import ImageRow
from schemas.labels import strictest
from schemas.regions import Box
from schemas.tracks import TRACK_SCHEMA, Keyframe, Track, VideoRow


@dataclass
class _Video:
    """A video, its tracks as they are, before corrections, and as corrections make them, before and after."""

    row: VideoRow
    current: list[Track]
    base: list[Track] = field(default_factory=list)
    earlier: CorrectedTracks = field(default_factory=lambda: CorrectedTracks([]))
    later: CorrectedTracks = field(default_factory=lambda: CorrectedTracks([]))


class TrackMerging:
    """Merges corrections of tracks. `before`, `history`: before and after; `new`: ids of what is new.

    `image_ids`: of the rows that what is said of tracks changes.
    """

    def __init__(
        self, dataset: Dataset, before: CorrectionHistory, history: CorrectionHistory, new: Collection[str]
    ) -> None:
        self._dataset, self._history, self._new = dataset, history, new
        self._every = int(dataset.manifest.config.get("track_every") or 1)
        self._corrected_rows = {*before.by_image(), *history.by_image()}
        self._boxes: dict[tuple[str, str], Box | None] = {}
        self._seen_rows: set[str] = set()
        # Tracks that are gone, or lost their keyframes, are known only by what they were.
        self._videos = self._load({*before.by_video(), *history.by_video(), *before.track_originals})
        self._videos |= {
            name: _Video(row, []) for name, row in before.other_videos.items() if name not in self._videos
        }
        for video_id, video in self._videos.items():
            self._correct(
                video,
                before.track_originals.get(video_id),
                before.by_video().get(video_id, []),
                history.by_video().get(video_id, []),
            )
        self.before, self.after = (
            _OfRows([video.earlier for video in self._videos.values()]),
            _OfRows([video.later for video in self._videos.values()]),
        )
        self.image_ids = self.after.differing(self.before)

    @property
    def video_ids(self) -> Collection[str]:
        """The videos that were corrected, or hold a corrected row, and are in the dataset or its history."""
        return self._videos.keys()

    def see(self, original: ImageRow, corrected: ImageRow) -> None:
        """Take the boxes of tracks from a row that was corrected."""
        self._seen_rows.add(original.image_id)
        boxes = {region.track_id: region.box_xyxy for region in corrected.regions}
        for region in original.regions:
            if region.track_id is not None:
                name = original.image_id, region.track_id
                self._boxes[name] = boxes.get(self.after.names.get(name, region.track_id))

    def write(self, writer: VersionWriter) -> dict[str, int]:
        """Write the tracks, keep their originals in the history; returns what happened, by action."""
        effects: Counter[str] = Counter()
        replaced: dict[str, list[Track]] = {}
        for video_id, video in self._videos.items():
            boxes = {**self._boxes, **self._boxes_of_other_rows(video)}
            applied = correct_tracks(video.row, video.base, self._said(video), every=self._every, boxes=boxes)
            is_here = video_id not in self._history.other_videos
            if applied.tracks == video.base and is_here:
                self._history.track_originals.pop(video_id, None)
            else:
                self._history.track_originals[video_id] = video.base
            if applied.tracks != video.current and is_here:
                replaced[video_id] = applied.tracks
                effects["tracks"] += _num_differing(video.current, applied.tracks)
            effects.update(one.action.value for one in applied.done if one.correction_id in self._new)
            effects["left_out"] += sum(one.correction_id in self._new for one in applied.left_out)
        if replaced:
            writer.write_table(TRACKS, TRACK_SCHEMA, self._replaced(replaced))
        else:
            writer.share_table(self._dataset.store, TRACKS)
        writer.share_table(self._dataset.store, VIDEOS)
        return {name: number for name, number in effects.items() if number}

    def _load(self, corrected: set[str]) -> dict[str, _Video]:
        """The videos that were corrected or hold a row that was."""
        rows = to_array(sorted(self._corrected_rows), pa.string())
        for batch in self._dataset.batches_of(TRACKS, ["video_id", "keyframes"]):
            touched = rows_with_keyframes(batch, rows).tolist()
            ids = batch["video_id"].to_pylist()
            corrected |= {name for name, is_touched in zip(ids, touched, strict=True) if is_touched}
        ids = to_array(sorted(corrected), pa.string())
        videos: dict[str, _Video] = {}
        for batch in self._dataset.batches_of(VIDEOS):
            for row in table_to_videos(_filtered(batch, ids)):
                videos[row.video_id] = _Video(row, [])
        for batch in self._dataset.batches_of(TRACKS):
            for track in table_to_tracks(_filtered(batch, ids)):
                if track.video_id in videos:
                    videos[track.video_id].current.append(track)
        return videos

    def _correct(
        self,
        video: _Video,
        originals: list[Track] | None,
        earlier: list[Correction],
        later: list[Correction],
    ) -> None:
        video.earlier = correct_tracks(video.row, originals or video.current, earlier, every=self._every)
        video.base = video.current
        if originals is not None:
            video.base = _routed_like(originals, video.current)
        video.later = correct_tracks(video.row, video.base, later, every=self._every)

    def _said(self, video: _Video) -> list[Correction]:
        return self._history.by_video().get(video.row.video_id, [])

    def _boxes_of_other_rows(self, video: _Video) -> dict[tuple[str, str], Box | None]:
        """The boxes in corrected rows that stay as they are: tracks have them already."""
        corrected = self._history.by_image()
        boxes: dict[tuple[str, str], Box | None] = {}
        current = {track.track_id: track for track in video.current}
        for track in video.base:
            for keyframe in track.keyframes:
                name = keyframe.image_id, track.track_id
                if keyframe.image_id in corrected and keyframe.image_id not in self._seen_rows:
                    shown = current.get(video.earlier.names.get(name, track.track_id))
                    boxes[name] = _box_in(shown, keyframe) if shown is not None else None
        return boxes

    def _replaced(self, replaced: dict[str, list[Track]]) -> Iterator[pa.Table]:
        """All tracks in the order of their videos, those of some videos replaced."""
        left = dict(replaced)
        videos = self._dataset.batches_of(VIDEOS, ["video_id"])
        order = {name: place for place, name in enumerate(chain.from_iterable(map(_video_ids, videos)))}
        first_ones = deque(
            sorted((name for name in left if not self._videos[name].current), key=order.__getitem__)
        )
        for batch in self._dataset.batches_of(TRACKS):
            start = 0
            for place, name in enumerate(_video_ids(batch)):
                while first_ones and order[first_ones[0]] < order[name]:
                    yield pa.Table.from_batches([batch.slice(start, place - start)])
                    start = place
                    yield tracks_to_table(left.pop(first_ones.popleft()))
                if name in replaced:
                    yield pa.Table.from_batches([batch.slice(start, place - start)])
                    start = place + 1
                    if (tracks := left.pop(name, None)) is not None:
                        yield tracks_to_table(tracks)
            yield pa.Table.from_batches([batch.slice(start)])
        for name in first_ones:
            yield tracks_to_table(left[name])


class _OfRows:
    """What corrections of several videos say of rows: statements by image, names of tracks."""

    def __init__(self, corrected: Iterable[CorrectedTracks]) -> None:
        self.names: dict[tuple[str, str], str] = {}
        self._statements: dict[str, list[Statement]] = {}
        self._renamed: set[str] = set()
        for tracks in corrected:
            self.names |= tracks.names
            self._renamed |= {image_id for image_id, _ in tracks.names}
            for image_id, statements in tracks.statements.items():
                self._statements.setdefault(image_id, []).extend(statements)

    def of(self, image_id: str) -> list[Statement]:
        """What is said of a row."""
        return self._statements.get(image_id, [])

    def speaks_of(self, image_id: str) -> bool:
        """Whether anything is said of a row, or a track is called otherwise there."""
        return image_id in self._statements or image_id in self._renamed

    def differing(self, other: "_OfRows") -> set[str]:
        """The images of which the two do not say the same."""
        said, said_before = (
            {
                image_id: {(statement.track_id, statement.source_id) for statement in statements}
                for image_id, statements in of._statements.items()
            }
            for of in (self, other)
        )
        images = {name for name in {*said, *said_before} if said.get(name) != said_before.get(name)}
        names = {name for name, _ in self.names.items() ^ other.names.items()}
        return images | {image_id for image_id, _ in names}


def _routed_like(originals: list[Track], current: list[Track]) -> list[Track]:
    """The tracks before corrections, with the decisions that their labels have since."""
    by_id = {track.track_id: track for track in current}
    return [
        _routed(track.model_copy(deep=True), by_id[track.track_id]) if track.track_id in by_id else track
        for track in originals
    ]


def _routed(track: Track, current: Track) -> Track:
    later = {(label.kind, label.text): label for label in current.all_labels() if not label.box_moved}
    for label in track.all_labels():
        found = later.get((label.kind, label.text))
        if found is not None and not is_locked(found) and not is_locked(label):
            label.confidence, label.decision = found.confidence, found.decision
            label.reasons = list(found.reasons)
    track.decision = strictest(label.decision for label in track.all_labels())
    return track


def _box_in(track: Track, keyframe: Keyframe) -> Box | None:
    """The box of a track in a keyframe; None if the track is not seen there any more."""
    if keyframe not in track.keyframes:
        return None
    return track.boxes_xyxy[track.frames.index(keyframe.frame)]


def _video_ids(batch: pa.RecordBatch) -> list[str]:
    return list(batch["video_id"].to_pylist())


def _filtered(batch: pa.RecordBatch, video_ids: pa.StringArray) -> pa.RecordBatch:
    return batch.filter(numpy_to_array(rows_with(batch, "video_id", video_ids)))


def _num_differing(tracks: list[Track], others: list[Track]) -> int:
    """How many tracks one has and the other has not, or has differently."""
    first, second = ({track.track_id: track for track in some} for some in (tracks, others))
    return sum(first.get(name) != second.get(name) for name in {*first, *second})
