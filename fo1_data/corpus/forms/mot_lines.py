"""Text of MOT challenge, a line a box: frame, id, left, top, width, height, confidence, class, visibility.

As the challenge defines it, frames, ids and the coordinates of pixels are numbered from 1: frame 1 becomes 0,
and left and top become one less. (Many tools write coordinates from 0: their boxes are then read one pixel
too far up and left.) Columns from the seventh on may be missing. In gold the seventh is 0 for a box that is
not scored (it is left out, `ignored`); in results it is a score, -1 if there is none. Class and visibility
are read from lines of eight or nine columns; in lines of ten the last three are coordinates in the world,
which are not read. An id below 0 is a detection that belongs to no track (`no_identity`).
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fo1_data.corpus.forms.video_tracks import ONE_BOX, Fault, ReadVideo, TrackBoxes, class_notes
from fo1_data.plurals import counted
from fo1_data.storage.streams import open_stream
from schemas.corpus import GivenVideo
from schemas.images import IGNORED
from schemas.regions import Box
from schemas.sources import ContentKind

# Classes 1 to 13 of MOT16, MOT17 and MOT20.
CLASS_NAMES = (
    "pedestrian",
    "person on vehicle",
    "car",
    "bicycle",
    "motorbike",
    "non-motorised vehicle",
    "static person",
    "distractor",
    "occluder",
    "occluder on the ground",
    "full occluder",
    "reflection",
    "crowd",
)
_FEWEST, _MOST = 6, 10
_HEAD_BYTES = 4096
_SPACES = re.compile(rb"[,\s]+")


@dataclass(frozen=True)
class MotLine:
    """A line: `frame` from 0, the box with corners from 0; `confidence`, `class_id` and `visibility` if
    given.
    """

    frame: int
    track_id: int
    box_xyxy: Box
    confidence: float | None
    class_id: int | None
    visibility: float | None


def is_mot_text(address: str) -> bool:
    """Whether the first line of a text file is six to ten numbers with commas between them."""
    with open_stream(address) as stream:
        head = stream.read(_HEAD_BYTES)
    line = next((line for line in head.splitlines() if line.strip()), b"")
    try:
        return b"," in line and parse_line(line) is not None
    except ValueError:
        return False


def parse_line(line: bytes) -> MotLine:
    """A line as numbers. Raises ValueError with what is wrong with it."""
    text = line.removeprefix(b"\xef\xbb\xbf").strip()
    fields = [field.strip() for field in text.split(b",")] if b"," in text else _SPACES.split(text)
    while len(fields) > _MOST and not fields[-1]:
        fields.pop()
    if not _FEWEST <= len(fields) <= _MOST:
        raise ValueError(f"has {counted(len(fields), 'column')}, not {_FEWEST} to {_MOST}")
    try:
        values = [float(field) for field in fields]
    except ValueError:
        raise ValueError("has a column that is not a number") from None
    frame, track_id = _whole(values[0], "frame"), _whole(values[1], "id")
    left, top, width, height = values[2:6]
    left, top = left - 1, top - 1
    has_class = len(values) in (8, 9)
    return MotLine(
        frame - 1,
        track_id,
        (left, top, left + width, top + height),
        values[6] if len(values) > 6 else None,
        _whole(values[7], "class") if has_class else None,
        values[8] if len(values) == 9 else None,
    )


def _whole(value: float, name: str) -> int:
    if not math.isfinite(value) or value != int(value):
        raise ValueError(f"its {name} {value:g} is not a whole number")
    return int(value)


def read_mot_lines(
    lines: Iterable[bytes],
    address: str,
    video: GivenVideo,
    *,
    is_gold: bool,
    class_names: Mapping[int, str] | None = None,
) -> ReadVideo:
    """The tracks of a text at `address`, with what `video` says besides. `class_names`: by number, from 1."""
    names = class_names or dict(enumerate(CLASS_NAMES, start=1))
    boxes, faults = TrackBoxes(video.num_frames), []
    classes: dict[str, Counter[int]] = defaultdict(Counter)
    num_boxes, left_out = 0, Counter[str]()
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        num_boxes += 1
        fault: tuple[str, str] | None
        try:
            line = parse_line(text)
        except ValueError as error:
            fault = ("bad_line", str(error))
        else:
            if line.track_id < 0 or (is_gold and line.confidence == 0):
                left_out["no_identity" if line.track_id < 0 else IGNORED] += 1
                continue
            fault = _add(boxes, line, is_gold=is_gold)
            if fault is None and line.class_id is not None:
                classes[str(line.track_id)][line.class_id] += 1
        if fault is not None:
            faults.append(Fault(f"{address}:{number}", fault[0], fault[1], ONE_BOX))
    faults += [_left_out(address, reason, count) for reason, count in left_out.items()]
    fields = {
        track_id: {"label": names.get(class_id, f"class {class_id}")}
        for track_id, counts in classes.items()
        if (class_id := counts.most_common(1)[0][0]) > 0
    }
    tracks = boxes.tracks(fields)
    found = Counter({ContentKind.BOXES: num_boxes, ContentKind.TRACKS: len(tracks)})
    read = video.model_copy(update={"tracks": tracks, "first_number": 1})
    return ReadVideo(read, found, faults, class_notes(classes))


def _add(boxes: TrackBoxes, line: MotLine, *, is_gold: bool) -> tuple[str, str] | None:
    if line.frame < 0:
        return "no_such_frame", "frames are numbered from 1"
    has_score = not is_gold and line.confidence is not None and line.confidence >= 0
    return boxes.add(
        str(line.track_id),
        line.frame,
        line.box_xyxy,
        score=line.confidence if has_score else None,
        meta={} if line.visibility is None else {"visibility": line.visibility},
    )


def _left_out(address: str, reason: str, count: int) -> Fault:
    boxes = counted(count, "box", "boxes")
    message = {
        IGNORED: f"{boxes} of confidence 0, which are not to be scored",
        "no_identity": f"{boxes} without an id, which belong to no track",
    }[reason]
    return Fault(address, reason, message, {ContentKind.BOXES: count})
