"""What a person changed in the boxes of tracks: which frames, and which tracks are cut, new or gone.

Label Studio has no way to cut a track. A person ends it in the last right frame and draws a new one, or
begins one there. So a new track that takes over the rest of a shown track is a cut of that: the shown one
ends before the new one begins, and in at least SAME_SHARE of the new one's frames the shown track had the
same box, to within SAME_IOU. Frames count from 0. Pure functions.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from schemas.corrections import CorrectionAction, CorrectionValue, split_track_id
from schemas.regions import Box
from services.label_studio.annotated import AnnotatedRegion, ParsedAnnotation
from services.label_studio.shown import ShownImage, ShownRegion
from services.label_studio.video_results import filled_boxes
from services.review.inbox.agreement import iou
from services.review.inbox.boxes import is_still

SAME_SHARE, SAME_IOU = 0.9, 0.8
Boxes = Mapping[int, Box]


@dataclass(frozen=True)
class TrackChange:
    """A change of a track's boxes, as fields of a correction."""

    action: CorrectionAction
    track_id: str
    frame: int | None = None
    before: CorrectionValue | None = None
    after: CorrectionValue | None = None


@dataclass(frozen=True)
class _Part:
    """A new track that is the end of a shown one from `frame` on."""

    region: ShownRegion
    frame: int


class TrackComparison:
    """Compares the tracks of an annotation with those that were shown."""

    def __init__(self, shown: ShownImage, annotated: ParsedAnnotation) -> None:
        self._shown, self._annotated = shown, annotated
        self._shown_boxes = {
            region.mark: filled_boxes(region.track) for region in shown.regions if region.track is not None
        }
        self._parts = self._find_parts()

    def track_ids(self) -> dict[str, str]:
        """The id of every track by mark. Shown ones keep theirs; those of parts and drawn ones follow."""
        ids = {region.mark: region.region_id for region in self._shown.regions}
        for mark in self._annotated.regions:
            if mark in self._parts:
                part = self._parts[mark]
                ids[mark] = split_track_id(part.region.region_id, part.frame)
            elif mark not in ids:
                digest = hashlib.sha256(mark.encode()).hexdigest()[:12]
                ids[mark] = f"{self._shown.image_id[:16]}/p{digest}"
        return ids

    def changes(self, deleted: set[str]) -> Iterator[TrackChange]:
        """Yield cuts first, then what is different in each frame. deleted: marks of tracks that are gone."""
        ids = self.track_ids()
        for mark, part in self._parts.items():
            yield TrackChange(CorrectionAction.SPLIT, part.region.region_id, part.frame)
            before, end = self._shown_boxes[part.region.mark], self._end_of(part)
            tail = {
                frame: box
                for frame, box in before.items()
                if frame >= part.frame and (end is None or frame < end)
            }
            yield from _box_changes(ids[mark], tail, self._annotated.regions[mark].boxes)
        cut_at = self._cut_at()
        for region in self._shown.regions:
            if region.mark in self._annotated.marks_not_read:
                continue
            annotated = self._annotated.regions.get(region.mark)
            if annotated is None or region.mark in deleted:
                yield TrackChange(CorrectionAction.DELETED, region.region_id)
                continue
            end = cut_at.get(region.mark)
            before = self._shown_boxes[region.mark]
            if end is not None:
                before = {frame: box for frame, box in before.items() if frame < end}
            yield from _box_changes(region.region_id, before, annotated.boxes)
        for mark, added in self._annotated.regions.items():
            if mark not in self._shown_boxes and mark not in self._parts:
                yield from _box_changes(ids[mark], {}, added.boxes)

    def _end_of(self, part: _Part) -> int | None:
        """The first frame of the part that follows; None if it is the last part of its track."""
        of_track = (other.frame for other in self._parts.values() if other.region is part.region)
        return min((frame for frame in of_track if frame > part.frame), default=None)

    def _cut_at(self) -> dict[str, int]:
        """The first frame of the first part that was cut from each shown track."""
        first: dict[str, int] = {}
        for part in self._parts.values():
            mark = part.region.mark
            first[mark] = min(part.frame, first.get(mark, part.frame))
        return first

    def _find_parts(self) -> dict[str, _Part]:
        """New tracks, by mark, that take over the rest of a shown one. Parts of a track have no frame in
        common: of two that would, the later one is a drawn track."""
        new = {mark: r for mark, r in self._annotated.regions.items() if mark not in self._shown_boxes}
        ends = {
            mark: max(left.boxes)
            for mark, left in self._annotated.regions.items()
            if mark in self._shown_boxes and left.boxes
        }
        parts: dict[str, _Part] = {}
        for mark, region in sorted(new.items(), key=lambda item: min(item[1].boxes)):
            for shown in self._shown.regions:
                if shown.mark in ends and self._takes_over(region, shown, ends[shown.mark]):
                    parts[mark] = _Part(shown, min(region.boxes))
                    ends[shown.mark] = max(region.boxes)
                    break
        return parts

    def _takes_over(self, new: AnnotatedRegion, shown: ShownRegion, end: int) -> bool:
        """end: the last frame of the shown track, or of its last part so far."""
        before, begin = self._shown_boxes[shown.mark], min(new.boxes)
        if end >= begin or max(before) < begin:
            return False
        frames = [frame for frame in new.boxes if frame <= max(before)]
        same = [f for f in frames if f in before and iou(new.boxes[f], before[f]) >= SAME_IOU]
        return len(same) >= SAME_SHARE * len(frames)


def _box_changes(track_id: str, before: Boxes, after: Boxes) -> Iterator[TrackChange]:
    """Yield what is different between the boxes of a track, by frame."""
    for frame in sorted(before.keys() | after.keys()):
        old, new = before.get(frame), after.get(frame)
        old_value = CorrectionValue(box_xyxy=old) if old is not None else None
        new_value = CorrectionValue(box_xyxy=new) if new is not None else None
        if new is None:
            yield TrackChange(CorrectionAction.DELETED, track_id, frame, old_value)
        elif old is None:
            yield TrackChange(CorrectionAction.ADDED, track_id, frame, None, new_value)
        elif not is_still(old, new):
            yield TrackChange(CorrectionAction.MOVED, track_id, frame, old_value, new_value)
