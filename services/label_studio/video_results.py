"""Tracks as Label Studio's video results: key frames counted from 1, boxes in percent of the picture.

A key frame that is enabled is shown, and moves in a straight line to the next one; behind the last one its
box stays until the end of the video. One that is not enabled is shown in its own frame and ends what is
shown. Every frame of a track is written as a key frame with all its numbers, because Label Studio guesses
those that are missing. Frames here count from 0, boxes are in pixels. Pure functions.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from schemas.regions import Box
from services.label_studio.shapes import box_to_percent, percent_to_box
from services.label_studio.shown import ShownClip, ShownTrack

_MOST_FRAMES = 10_000_000


def track_value(track: ShownTrack, clip: ShownClip, picture_wh: tuple[int, int]) -> dict[str, Any]:
    """Return the value of a `videorectangle` result without its labels."""
    sequence = []
    for place, (frame, box) in enumerate(zip(track.frames, track.boxes_xyxy, strict=True)):
        following = track.frames[place + 1] if place + 1 < len(track.frames) else None
        key = {
            "frame": frame + 1,
            "time": (frame + 1) / clip.fps,  # as Label Studio writes it: the number by the rate
            "enabled": following is not None and following - frame <= track.every,
            "rotation": 0,
        }
        sequence.append(key | box_to_percent(box, *picture_wh))
    return {"framesCount": clip.num_frames, "duration": clip.duration_s, "sequence": sequence}


def shown_boxes(
    value: Mapping[str, Any], num_frames: int, picture_wh: tuple[int, int]
) -> dict[int, Box] | None:
    """Return the box of every frame that shows the track; None if a part of it cannot be read.

    value: of a `videorectangle` result, in any order. Frames beyond `num_frames` are left out.
    """
    keys = _key_frames(value.get("sequence"), picture_wh)
    if keys is None:
        return None
    boxes: dict[int, Box] = {}
    for place, (frame, box, is_enabled) in enumerate(keys):
        boxes[frame] = box
        if not is_enabled:
            continue
        end, end_box = (
            (keys[place + 1][0], keys[place + 1][1]) if place + 1 < len(keys) else (num_frames, box)
        )
        for between in range(frame + 1, min(end, num_frames)):
            boxes[between] = _between(box, end_box, (between - frame) / (end - frame))
    return {frame: box for frame, box in sorted(boxes.items()) if frame < num_frames}


def filled_boxes(track: ShownTrack) -> dict[int, Box]:
    """Return what Label Studio shows of a pushed track: its boxes, and those on the way between them."""
    boxes: dict[int, Box] = {}
    pairs = list(zip(track.frames, track.boxes_xyxy, strict=True))
    for (frame, box), (following, next_box) in pairwise(pairs):
        boxes[frame] = box
        if following - frame <= track.every:
            for between in range(frame + 1, following):
                boxes[between] = _between(box, next_box, (between - frame) / (following - frame))
    return boxes | dict(pairs[-1:])


def _key_frames(sequence: Any, picture_wh: tuple[int, int]) -> Sequence[tuple[int, Box, bool]] | None:
    """The key frames by frame; of equal frames the last one. None if there is none or one cannot be read."""
    keys: dict[int, tuple[int, Box, bool]] = {}
    for entry in sequence if isinstance(sequence, list) else []:
        frame = entry.get("frame") if isinstance(entry, dict) else None
        box = percent_to_box(entry, *picture_wh) if isinstance(entry, dict) else None
        if isinstance(frame, bool) or not isinstance(frame, int | float) or box is None:
            return None
        if not 1 <= frame <= _MOST_FRAMES:
            return None
        number = round(frame) - 1
        keys[number] = (number, box, entry.get("enabled") is not False)
    return [keys[frame] for frame in sorted(keys)] or None


def _between(a: Box, b: Box, share: float) -> Box:
    x_min, y_min, x_max, y_max = (
        first + (second - first) * share for first, second in zip(a, b, strict=True)
    )
    return x_min, y_min, x_max, y_max
