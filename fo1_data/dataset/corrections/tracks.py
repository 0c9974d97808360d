"""The tracks of one video with corrections applied, and what that says of the rows of its keyframes.

A pure function of the tracks and of the set of corrections, whatever their order. A correction whose target
is not there, or whose label has another text by then, is left out and listed. `schemas.corrections` says what
each action does; captions, phrases and answers are corrected in `track_labels`, rows in `track_rows`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fo1_data.dataset.corrections import track_labels
from fo1_data.dataset.corrections.region_names import in_order
from fo1_data.dataset.corrections.regions import is_another_box
from fo1_data.dataset.corrections.track_things import Seen, Thing, is_near
from fo1_data.dataset.corrections.video_frames import VideoFrames
from fo1_data.dataset.human_labels import BOX_MOVED
from fo1_data.dataset.tracked_regions import BOX_PX
from schemas.corrections import Correction, CorrectionAction, CorrectionValue, split_track_id
from schemas.labels import Source
from schemas.regions import Box
from schemas.tracks import Track, VideoRow

# What a row says of the box of a track, by image and by the track's name in the row before any correction:
# null: the region was there and is gone.
BoxesInRows = Mapping[tuple[str, str], Box | None]


@dataclass(frozen=True)
class Statement:
    """What a correction of a track says of its region in a keyframe.

    `track_id`: as the region names it before any correction. `source_id`: of the correction of the track.
    """

    track_id: str
    correction: Correction
    source_id: str


@dataclass(frozen=True)
class CorrectedTracks:
    """The tracks, the corrections that took effect, those that did not, and what they say of rows.

    `statements`: by image. `names`: the track of a region, by image and by the name it had before.
    """

    tracks: list[Track]
    done: list[Correction] = field(default_factory=list)
    left_out: list[Correction] = field(default_factory=list)
    statements: dict[str, list[Statement]] = field(default_factory=dict)
    names: dict[tuple[str, str], str] = field(default_factory=dict)


def correct_tracks(
    video: VideoRow,
    tracks: Sequence[Track],
    corrections: Iterable[Correction],
    *,
    every: int = 1,
    boxes: BoxesInRows | None = None,
) -> CorrectedTracks:
    """The tracks of a video as people have corrected them.

    `every`: how many frames lie between those in which things were looked for. `boxes`: what rows say after
    their corrections; their boxes are those of the tracks. Corrections of other videos are ignored.
    """
    ordered = in_order(
        {
            correction.correction_id: correction
            for correction in corrections
            if correction.image_id == video.video_id and correction.is_of_track
        }.values()
    )
    work = _Tracks(video, tracks, every, ordered)
    done: list[Correction] = []
    left_out: list[Correction] = []
    for correction in ordered:
        (done if work.apply(correction) else left_out).append(correction)
    work.take_boxes(boxes or {})
    return CorrectedTracks(work.finish(), done, left_out, work.statements, work.names())


class _Tracks:
    """The tracks of a video by id. `statements`: see `CorrectedTracks`."""

    def __init__(
        self, video: VideoRow, tracks: Sequence[Track], every: int, corrections: Sequence[Correction]
    ) -> None:
        self._video_id, self._every = video.video_id, every
        # Where each track that a person drew begins, whichever of its frames is applied first.
        self._begins: dict[str, int] = {}
        for part in corrections:
            if part.action is CorrectionAction.ADDED and part.track_id is not None and part.frame is not None:
                begin = self._begins.get(part.track_id, part.frame)
                self._begins[part.track_id] = min(begin, part.frame)
        self._things = {track.track_id: Thing.of(track) for track in tracks}
        self._joined: dict[str, str] = {}
        times_s = {
            frame: seen.time_s for thing in self._things.values() for frame, seen in thing.seen.items()
        }
        self._frames = VideoFrames(video, times_s)
        self.statements: dict[str, list[Statement]] = {}

    def apply(self, correction: Correction) -> bool:
        """Apply one correction; False if its target is not there."""
        handlers: dict[CorrectionAction, Callable[[Correction], bool]] = {
            CorrectionAction.SPLIT: self._split,
            CorrectionAction.JOINED: self._join,
            CorrectionAction.ADDED: self._place,
            CorrectionAction.MOVED: self._place,
            CorrectionAction.DELETED: self._delete,
            CorrectionAction.VERDICT: self._judge,
            **dict.fromkeys(track_labels.HANDLERS, self._say),
        }
        handler = handlers.get(correction.action)
        return handler(correction) if handler is not None else False

    def take_boxes(self, boxes: BoxesInRows) -> None:
        """Give tracks the boxes that they have in rows."""
        for thing in list(self._things.values()):
            for frame, (keyframe, name) in list(thing.keyframes.items()):
                if (keyframe.image_id, name) not in boxes:
                    continue
                box = boxes[keyframe.image_id, name]
                if box is None:
                    self._forget(thing, frame)
                    continue
                seen = thing.seen[frame]
                as_stored = self._frames.clipped(seen.box)
                if not any(is_near(box, other, BOX_PX) for other in (seen.box, as_stored)):
                    thing.seen[frame] = Seen(seen.time_s, box, None)
                    thing.is_changed = True

    def finish(self) -> list[Track]:
        """The tracks, each part behind the track that it was cut from, with lists and decisions made anew."""
        order = {name: place for place, name in enumerate(self._things)}
        roots = {name: order.get(name.partition("@")[0], place) for name, place in order.items()}
        things = sorted(
            self._things.values(),
            key=lambda thing: (roots[thing.track.track_id], thing.begin, order[thing.track.track_id]),
        )
        return [thing.finished(self._every) for thing in things]

    def names(self) -> dict[tuple[str, str], str]:
        return {
            (keyframe.image_id, name): thing.track.track_id
            for thing in self._things.values()
            for keyframe, name in thing.keyframes.values()
            if name != thing.track.track_id
        }

    def _find(self, track_id: str | None, frame: int | None = None) -> Thing | None:
        """The track of this id, or of its parts the one that holds the frame."""
        if track_id is None:
            return None
        while track_id in self._joined:
            track_id = self._joined[track_id]
        thing = self._things.get(track_id)
        if frame is None:
            return thing
        root = track_id.partition("@")[0]
        parts = [part for name, part in self._things.items() if name.partition("@")[0] == root]
        holding = [part for part in parts if part.begin <= frame]
        return max(holding, key=lambda part: part.begin) if holding else None

    def _split(self, correction: Correction) -> bool:
        frame = correction.frame
        thing = self._find(correction.track_id, frame)
        if thing is None or frame is None:
            return False
        new_id = split_track_id(thing.track.track_id, frame)
        if new_id == thing.track.track_id:
            return True
        before = {number for number in thing.seen if number < frame}
        if not before or len(before) == len(thing.seen):
            return False
        track = track_labels.stale(thing.track, track_labels.TRACK_SPLIT)
        new = Thing(
            track.model_copy(update={"track_id": new_id}),
            frame,
            {number: seen for number, seen in thing.seen.items() if number not in before},
            {number: keyframe for number, keyframe in thing.keyframes.items() if number >= frame},
            is_changed=True,
        )
        thing.track, thing.is_changed = track, True
        thing.seen = {number: seen for number, seen in thing.seen.items() if number in before}
        thing.keyframes = {number: kept for number, kept in thing.keyframes.items() if number < frame}
        self._things[new_id] = new
        return True

    def _join(self, correction: Correction) -> bool:
        part = self._find(correction.track_id)
        whole = self._find(correction.after.track_id if correction.after is not None else None)
        if part is None or whole is None or part.track.shot != whole.track.shot:
            return part is None and self._is_joined(correction)
        if part is whole:
            return self._is_joined(correction)
        whole.track = track_labels.stale(whole.track, track_labels.TRACK_JOINED, unlike=part.track)
        # A row has one region of a track, and the track its box.
        gone = correction.model_copy(update={"action": CorrectionAction.DELETED, "after": None})
        for frame in part.keyframes.keys() & whole.keyframes.keys():
            self._state(part, frame, correction, gone)
        in_row = {frame: part.seen[frame] for frame in part.keyframes.keys() - whole.keyframes.keys()}
        whole.seen = {**part.seen, **whole.seen, **in_row}
        whole.keyframes = {**part.keyframes, **whole.keyframes}
        whole.begin, whole.is_changed = min(part.begin, whole.begin), True
        del self._things[part.track.track_id]
        self._joined[part.track.track_id] = whole.track.track_id
        return True

    def _is_joined(self, correction: Correction) -> bool:
        return correction.track_id in self._joined

    def _place(self, correction: Correction) -> bool:
        """Give a track a box in a frame."""
        frame, said = correction.frame, correction.after.box_xyxy if correction.after is not None else None
        box = self._frames.inside(said) if said is not None else None
        thing = self._find(correction.track_id, frame)
        if frame is None or box is None:
            return False
        if thing is None:
            thing = self._drawn(correction, frame)
        if thing is None or not self._frames.is_in_shot(thing.track.shot, frame):
            return False
        seen = thing.seen.get(frame)
        if seen is not None and seen.score is None and is_near(seen.box, box):
            return True
        thing.seen[frame] = Seen(self._frames.time_s(frame, correction.time_s), box, None)
        thing.is_changed = True
        if frame in thing.keyframes and seen is not None:
            moved = correction.model_copy(
                update={"action": CorrectionAction.MOVED, "after": CorrectionValue(box_xyxy=box)}
            )
            self._state(thing, frame, correction, moved)
            if is_another_box(seen.box, box):
                thing.track = track_labels.stale(thing.track, BOX_MOVED)
        return True

    def _delete(self, correction: Correction) -> bool:
        thing = self._find(correction.track_id, correction.frame)
        if thing is None:
            return False
        if correction.frame is None:
            for frame in thing.keyframes:
                self._state(thing, frame, correction)
            del self._things[thing.track.track_id]
            return True
        if correction.frame not in thing.seen:
            return False
        if correction.frame in thing.keyframes:
            self._state(thing, correction.frame, correction)
        self._forget(thing, correction.frame)
        return True

    def _say(self, correction: Correction) -> bool:
        """Set a caption, a class or an answer."""
        thing = self._find(correction.track_id)
        corrected = track_labels.HANDLERS[correction.action](thing.track, correction) if thing else None
        if thing is None or corrected is None:
            return False
        thing.track = corrected
        for frame in thing.keyframes:
            self._state(thing, frame, correction)
        return True

    def _judge(self, correction: Correction) -> bool:
        thing = self._find(correction.track_id)
        corrected = track_labels.judged(thing.track, correction) if thing else None
        if thing is None or corrected is None:
            return False
        thing.track, text = corrected
        if correction.subject is None or correction.kind in track_labels.ASKED:
            said = correction.model_copy(update={"before": CorrectionValue(text=text)})
            for frame in thing.keyframes:
                self._state(thing, frame, correction, said)
        return True

    def _state(
        self, thing: Thing, frame: int, correction: Correction, said: Correction | None = None
    ) -> None:
        keyframe, name = thing.keyframes[frame]
        statement = Statement(name, said or correction, correction.correction_id)
        self.statements.setdefault(keyframe.image_id, []).append(statement)

    def _forget(self, thing: Thing, frame: int) -> None:
        """A thing is not seen in a frame."""
        thing.forget(frame)
        if not thing.seen:
            del self._things[thing.track.track_id]

    def _drawn(self, correction: Correction, frame: int) -> Thing | None:
        """A track that a person begins to draw, in the shot in which it begins; None if it cannot be one."""
        track_id = correction.track_id or ""
        shot = self._frames.shot_of(self._begins.get(track_id, frame))
        is_new = track_id.startswith(f"{self._video_id[:16]}/p") and "@" not in track_id
        if correction.action is not CorrectionAction.ADDED or not is_new or shot is None:
            return None
        track = Track(
            track_id=track_id, video_id=self._video_id, shot=shot, first_frame=frame, last_frame=frame,
            frames=[], times_s=[], boxes_xyxy=[], scores=[], box_source=Source.HUMAN,
        )  # fmt: skip
        self._things[track_id] = Thing(track, 0, {}, {}, is_changed=True)
        return self._things[track_id]
