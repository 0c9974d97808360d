"""The difference between the tracks of two datasets, and between their videos. Holds those of both.

As of rows, `provenance` is not compared, and floats are equal within `TOLERANCE`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from fo1_data.dataset.layout import TRACKS, VIDEOS, is_table
from fo1_data.dataset.reader import Dataset
from schemas.tracks import Track

# What `describe` calls the lists that say where a track is.
_PLACE = ("frames", "times_s", "boxes_xyxy", "scores", "first_frame", "last_frame", "gaps")


@dataclass
class TableDifference:
    """Ids in one table only, and by id of what both have, what differs, in words; `equal` counts the rest."""

    only_a: list[str] = field(default_factory=list)
    only_b: list[str] = field(default_factory=list)
    changed: dict[str, list[str]] = field(default_factory=dict)
    equal: int = 0

    @property
    def is_empty(self) -> bool:
        return not (self.only_a or self.only_b or self.changed)


def compare_tables(
    dataset_a: Dataset, dataset_b: Dataset, is_same: Callable[[Any, Any], bool]
) -> tuple[TableDifference, TableDifference]:
    """The differences of the videos, and of the tracks. `is_same`: of two values."""
    videos = _compare(
        _digest(dataset_a, VIDEOS) == _digest(dataset_b, VIDEOS),
        {video.video_id: video for video in dataset_a.videos()},
        {video.video_id: video for video in dataset_b.videos()},
        is_same,
    )
    tracks = _compare(
        _digest(dataset_a, TRACKS) == _digest(dataset_b, TRACKS),
        {track.track_id: track for track in dataset_a.tracks()},
        {track.track_id: track for track in dataset_b.tracks()},
        is_same,
    )
    return videos, tracks


def _digest(dataset: Dataset, table: str) -> str | None:
    return next((file.sha256 for file in dataset.manifest.files if is_table(file.path, table)), None)


def _compare(
    is_equal: bool,
    first: Mapping[str, BaseModel],
    second: Mapping[str, BaseModel],
    is_same: Callable[[Any, Any], bool],
) -> TableDifference:
    difference = TableDifference(
        [name for name in first if name not in second], [name for name in second if name not in first]
    )
    for name, one in first.items():
        other = second.get(name)
        if other is None:
            continue
        columns = [] if is_equal or one == other else _differing(one, other, is_same)
        if columns:
            difference.changed[name] = _described(one, other, columns)
        else:
            difference.equal += 1
    return difference


def _differing(one: BaseModel, other: BaseModel, is_same: Callable[[Any, Any], bool]) -> list[str]:
    first, second = (some.model_dump(exclude={"provenance"}) for some in (one, other))
    return [name for name in first if not is_same(first[name], second[name])]


def _described(one: BaseModel, other: BaseModel, columns: Iterable[str]) -> list[str]:
    """What differs, in words: captions and frames, then the names of columns."""
    words, left = [], list(columns)
    if isinstance(one, Track) and isinstance(other, Track):
        for name in ("brief_caption", "detailed_caption", "text"):
            if name in left:
                words.append(f"{name.replace('_', ' ')} {_said(one, name)} -> {_said(other, name)}")
                left.remove(name)
        if any(name in left for name in _PLACE):
            left = [name for name in left if name not in _PLACE]
            words.append(_frames(one, other))
    return words + ([f"columns {', '.join(left)}"] if left else [])


def _said(track: Track, name: str) -> str:
    text = getattr(track, name)
    return "nothing" if text is None else repr(text)


def _frames(one: Track, other: Track) -> str:
    first = dict(zip(one.frames, one.boxes_xyxy, strict=True))
    second = dict(zip(other.frames, other.boxes_xyxy, strict=True))
    moved = sum(first[frame] != second[frame] for frame in first.keys() & second.keys())
    added, gone = len(second.keys() - first.keys()), len(first.keys() - second.keys())
    counts = {"moved": moved, "added": added, "gone": gone}
    return "boxes: " + (", ".join(f"{n} {word}" for word, n in counts.items() if n) or "other scores")
