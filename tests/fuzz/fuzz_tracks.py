"""Reviews of tracks: each track, in each frame, is as the annotation shows it, or a problem is told.

What an annotation shows of its tracks is worked out a second time here, frame by frame, and compared with the
tracks that its corrections make.
"""

import copy
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fuzz_target import Runner, check
from made_corpora import Marks, marks_in
from odd_values import change, num_changes, odd_value

from fo1_data.dataset.corrections.tracks import correct_tracks
from schemas.corrections import Correction, CorrectionAction, parse_corrections
from schemas.regions import Box
from schemas.reviews import AnnotationState, AsideReason
from schemas.tracks import Track, VideoRow
from services.label_studio.annotated import parse_result
from services.label_studio.convert import result_of
from services.label_studio.fields import ProjectFields, parse_fields
from services.label_studio.labelling_config import BOX
from services.label_studio.shown import ShownImage, unpack
from services.label_studio.shown_from_rows import shown_image
from services.label_studio.video_config import video_config
from services.review.inbox.annotations import AnnotationOutcome, judge_annotation, looked_at_annotation
from services.review.inbox.belief import Origin
from services.review.inbox.submission import Submission
from services.review.outbox.track_parts import parts_of_video

_FIELDS = parse_fields(video_config({"brief_caption"}))
_BY = Submission("key/1", "ann", "2026-01-02T03:04:05.000006Z", 3.5)
_KIND = "videorectangle"
_ODD_FRAMES = (0, -1, 1.5, 2, 20, 21, 30, 31, 10**7, 10**8, 1e300, True, None, "3", [4], float("nan"))
# Of a box, in pixels: what is written in percent and read again.
_NEAR_PX = 0.03


@contextmanager
def tracks(folder: Path) -> Iterator[Runner]:
    from made_up_tracks import make_clip

    clips = [make_clip(seed, num_tracks=num) for seed, num in enumerate((0, 1, 2, 3)) if num]

    def run(chance: random.Random) -> str:
        clip = chance.choice(clips)
        (part,) = parts_of_video(clip.video, clip.tracks)
        shown = shown_image(part.row())
        part.add_boxes(shown)
        shown = unpack(shown.packed())
        result = result_as_edited(result_of(shown), chance)
        return _judged(clip.video, clip.tracks, shown, result, chance)

    yield run


def result_as_edited(pushed: Sequence[Any], chance: random.Random) -> list[Any]:
    """A result list as people and other programs make it of the pushed one."""
    result: list[Any] = copy.deepcopy(list(pushed))
    marks = Marks()
    for entry in result:
        if isinstance(entry["value"].get("text"), list) and chance.random() < 0.3:
            entry["value"]["text"] = [marks.next()]
    for _ in range(chance.choice((0, 1, 1, 2, 3))):
        tracked = [entry for entry in result if entry.get("type") == _KIND]
        if not tracked:
            break
        _edit(chance.choice(tracked), result, marks, chance)
    if chance.random() < 0.3:
        change(result, chance, num_changes(chance))
    chance.shuffle(result) if chance.random() < 0.2 else None
    return result


def _edit(entry: dict[str, Any], result: list[Any], marks: Marks, chance: random.Random) -> None:
    """One edit: a track is cut, ended, begun late, moved, drawn, deleted, doubled, or odd in its keys."""
    keys: list[Any] = entry["value"]["sequence"]
    way = chance.randrange(10)
    place = chance.randrange(len(keys)) if keys else 0
    if way == 0:
        result[:] = [other for other in result if other["id"] != entry["id"]]
    elif way == 1 and keys:
        del keys[place + 1 :]
        keys[-1]["enabled"] = chance.choice((False, True))
    elif way == 2 and place:
        del keys[:place]
    elif way == 3 and place:
        new = copy.deepcopy(entry) | {"id": f"cut{len(result)}"}
        new["value"]["sequence"] = copy.deepcopy(keys[place:])
        del keys[place:]
        keys[-1]["enabled"] = False
        result.append(new)
    elif way == 4:
        result.append(_drawn(chance, marks, len(result)))
    elif way == 5:
        doubled = copy.deepcopy(entry)
        if chance.random() < 0.5:
            doubled["id"] = f"again{len(result)}"
        result.append(doubled)
    elif way == 6:
        _move(keys, chance)
    else:
        _make_odd(keys, chance)


def _move(keys: list[Any], chance: random.Random) -> None:
    for key in chance.sample(keys, min(len(keys), chance.randint(1, 3))):
        name = chance.choice(("x", "y", "width", "height", "rotation"))
        key[name] = chance.choice((0, 5, 12.5, 60, 99.9, 150, -20))


def _make_odd(keys: list[Any], chance: random.Random) -> None:
    """The sequence as another program writes it: doubled, in another order, with odd frames and switches."""
    way = chance.randrange(6)
    key = chance.choice(keys) if keys else {}
    if way == 0:
        chance.shuffle(keys)
    elif way == 1:
        keys.append({**key, "x": 5, "enabled": chance.random() < 0.5})
    elif way == 2:
        key["frame"] = chance.choice(_ODD_FRAMES)
    elif way == 3:
        key["enabled"] = chance.choice((True, False, None, 0, "false"))
    elif way == 4:
        key["time"] = odd_value(chance)
    else:
        del keys[chance.randrange(len(keys) + 1) :]


def _drawn(chance: random.Random, marks: Marks, number: int) -> dict[str, Any]:
    """A track that somebody draws, in some frames of the video, beyond its shot too."""
    frames = sorted(chance.sample(range(1, 31), chance.choice((1, 2, 3))))
    keys = [
        {"frame": frame, "enabled": chance.random() < 0.6, "rotation": 0, "time": frame / 25}
        | {"x": chance.randint(0, 80), "y": chance.randint(0, 80), "width": 10, "height": 20}
        for frame in frames
    ]
    value = {"sequence": keys, "labels": [chance.choice(("region", marks.next()))], "framesCount": 30}
    return {"id": f"new{number}", "from_name": BOX, "to_name": "video", "type": _KIND, "value": value}


def _judged(
    video: VideoRow, made: Sequence[Track], shown: ShownImage, result: list[Any], chance: random.Random
) -> str:
    packed, origin = shown.packed(), Origin(ProjectFields(_FIELDS, _FIELDS), from_prediction=True)
    outcome = judge_annotation(packed, result, _BY, origin)
    check(outcome == judge_annotation(packed, result, _BY, origin), "judged in two ways")
    for text in (outcome.comment, outcome.error, *outcome.ignored):
        check(text is None or ("\0" not in text and bool(text.encode())), "cannot be stored:", repr(text))
    if outcome.state is not AnnotationState.SUBMITTED:
        check(bool(outcome.reason and outcome.error) and "\n" not in str(outcome.error), outcome.error)
        if outcome.reason is AsideReason.UNREADABLE:
            _check_unreadable(shown, result, outcome)
            return "unreadable"
        taken = looked_at_annotation(packed, result, _BY, outcome.changed_fields)
        _corrected(video, made, taken, chance)
        return f"set aside: {outcome.reason}"
    _check_named(result, outcome)
    _check_frames(video, made, result, _corrected(video, made, outcome, chance))
    return "submitted"


def _check_unreadable(shown: ShownImage, result: list[Any], outcome: AnnotationOutcome) -> None:
    """The project's own faults are caught too: what cannot be understood says so by a ValueError."""
    try:
        parse_result(result, shown)
    except ValueError:
        return
    check(False, outcome.error)


def _corrected(
    video: VideoRow, made: Sequence[Track], outcome: AnnotationOutcome, chance: random.Random
) -> list[Track]:
    """The tracks after the corrections, of which each is done or left out once, in any order."""
    lines = [line for _, line in outcome.lines()]
    said: list[Correction] = list(parse_corrections(lines))
    check([c.model_dump() for c in said] == [c.model_dump() for c in outcome.corrections], "JSON:", lines)
    doubled = [name for name, num in Counter(part.correction_id for part in said).items() if num > 1]
    check(not doubled, "corrections come twice:", doubled)
    about = Counter((part.track_id, part.frame) for part in said if part.frame is not None and _is_box(part))
    check(all(num == 1 for num in about.values()), "two of one frame:", about.most_common(3))
    corrected = correct_tracks(video, made, said)
    told = Counter(part.correction_id for part in (*corrected.done, *corrected.left_out))
    of_tracks = Counter(part.correction_id for part in said if part.is_of_track)
    check(told == of_tracks, "corrections are lost, or come twice:", told - of_tracks, of_tracks - told)
    check(of_tracks.total() == len(said), "corrections of no track:", said)
    chance.shuffle(said)
    check(correct_tracks(video, made, said).tracks == corrected.tracks, "another order, other tracks")
    names = Counter(track.track_id for track in corrected.tracks)
    check(all(num == 1 for num in names.values()), "tracks come twice:", names)
    return corrected.tracks


def _is_box(part: Correction) -> bool:
    return part.action in (CorrectionAction.ADDED, CorrectionAction.MOVED, CorrectionAction.DELETED)


def _check_named(result: Sequence[Any], outcome: AnnotationOutcome) -> None:
    """Of an annotation that is used each text and class is in a correction, or is named."""
    said = [correction.model_dump(mode="json") for correction in outcome.corrections]
    known = marks_in([said, outcome.comment, outcome.ignored])
    for entry in result:
        name, value = str(entry.get("from_name")), entry.get("value")
        value = value if isinstance(value, dict) else {}
        if any(str(part).startswith(name[:90]) for part in outcome.ignored):
            continue
        lost = marks_in([value.get("text"), value.get("labels")]) - known
        check(not lost, "lost", lost, entry, said)


def _check_frames(
    video: VideoRow, made: Sequence[Track], result: Sequence[Any], corrected: Sequence[Track]
) -> None:
    """The boxes of each frame of each shot are those that the annotation shows there."""
    # A track stays in its shot: the merge tells that boxes in another one are left out.
    begins = {track.track_id: track.first_frame for track in made}
    wanted: dict[int, list[Box]] = {}
    for entry in {str(entry.get("id")): entry for entry in result if _is_track(entry)}.values():
        boxes = _frames_of(entry["value"]["sequence"], video)
        begin = begins.get(str(entry.get("id")), min(boxes))
        shots = [shot for shot in video.shots if shot.first_frame <= begin <= shot.last_frame]
        for frame, box in boxes.items():
            if shots and shots[0].first_frame <= frame <= shots[0].last_frame:
                wanted.setdefault(frame, []).append(box)
    has: dict[int, list[Box]] = {}
    for track in corrected:
        for frame, box in zip(track.frames, track.boxes_xyxy, strict=True):
            has.setdefault(frame, []).append(box)
    for frame in sorted(wanted.keys() | has.keys()):
        left = list(has.get(frame, []))
        for box in wanted.get(frame, []):
            if min(box[2] - box[0], box[3] - box[1]) < _NEAR_PX:
                continue  # of no area as it is stored: the merge tells that it is left out
            near = [other for other in left if _distance(box, other) < _NEAR_PX]
            check(bool(near), f"frame {frame}: lost", box, "of", has.get(frame), "shown", wanted.get(frame))
            left.remove(near[0])
        thin = len(wanted.get(frame, [])) - len(has.get(frame, [])) >= 0
        check(not left or thin, f"frame {frame}: not shown", left, wanted.get(frame))


def _is_track(entry: dict[str, Any]) -> bool:
    return entry.get("type") == _KIND or entry.get("from_name") == BOX


def _distance(box: Box, other: Box) -> float:
    return max(abs(a - b) for a, b in zip(box, other, strict=True))


def _frames_of(keys: Sequence[Any], video: VideoRow) -> dict[int, Box]:
    """What Label Studio shows of a track in each frame of the video, counted from 0."""
    by_frame = {round(key["frame"]) - 1: key for key in keys}
    boxes: dict[int, Box] = {}
    before: tuple[int, Any] | None = None
    for frame in range(video.num_frames):
        if frame in by_frame:
            before = (frame, by_frame[frame])
            boxes[frame] = _box_of(by_frame[frame], video)
        elif before is not None and before[1].get("enabled") is not False:
            following = min((later for later in by_frame if later > frame), default=None)
            box = _box_of(before[1], video)
            if following is not None:
                share = (frame - before[0]) / (following - before[0])
                end = _box_of(by_frame[following], video)
                box = tuple(a + (b - a) * share for a, b in zip(box, end, strict=True))  # type: ignore[assignment]
            boxes[frame] = box
    return boxes


def _box_of(key: Any, video: VideoRow) -> Box:
    from services.label_studio.shapes import percent_to_box

    box = percent_to_box(key, video.width, video.height)
    assert box is not None
    return box
