"""`tracks.jsonl`, the project's own form of tracks: a line a video, by the fields of `GivenVideo`.

`{"video", "width", "height", "fps", "num_frames", "tracks": [{"id", "label", "caption", "frames",
"boxes_xyxy", "scores"}]}`: all but `video` may be missing. `video` is a video file or a folder of frames,
beside the file or by its address. Frames from 0, boxes x_min y_min x_max y_max in pixels of the frame as
shown.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from fo1_data.corpus.forms.record_fields import id_of, text_of, validation_text
from fo1_data.corpus.forms.shapes import number_of
from fo1_data.corpus.forms.video_tracks import Fault, ReadVideo, TrackBoxes
from fo1_data.errors import one_line
from fo1_data.storage.streams import open_stream
from schemas.corpus import GivenVideo
from schemas.regions import MaskRle
from schemas.sources import ContentKind

NAME = "tracks.jsonl"


def is_track_record(record: Any) -> bool:
    """Whether a JSON value is a line of this form."""
    return isinstance(record, dict) and isinstance(record.get("video"), str) and "tracks" in record


def lines_of(videos: Iterable[GivenVideo]) -> Iterator[bytes]:
    """Videos as lines of the form."""
    for video in videos:
        yield video.model_dump_json(exclude_none=True).encode() + b"\n"


def read_track_lines(address: str) -> Iterator[ReadVideo | Fault]:
    """The videos of a file in its order; a line that is none is a fault."""
    with open_stream(address) as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                yield _video(line, f"{address}:{number}")


def _video(line: bytes, where: str) -> ReadVideo | Fault:
    lost = {ContentKind.IMAGES: 1}
    try:
        record = json.loads(line.decode("utf-8-sig"))
    except (UnicodeError, ValueError, RecursionError) as error:
        return Fault(where, "bad_json", f"is not JSON: {one_line(error)}", lost)
    if not is_track_record(record):
        return Fault(where, "bad_record", "is not an object with `video` and `tracks`", lost)
    fields = {
        key: value for key, value in record.items() if key in GivenVideo.model_fields and key != "tracks"
    }
    rest = {key: value for key, value in record.items() if key not in GivenVideo.model_fields}
    try:
        video = GivenVideo(**{**fields, "meta": {**(fields.get("meta") or {}), **rest} or None})
    except (ValidationError, TypeError) as error:
        return Fault(where, "bad_record", validation_text(error), lost)
    if record["tracks"] is None:
        return ReadVideo(video, Counter())
    if not isinstance(record["tracks"], list):
        return Fault(where, "bad_record", "its tracks are not a list", lost)
    return _with_tracks(video, record["tracks"], where)


def _with_tracks(video: GivenVideo, records: list[Any], where: str) -> ReadVideo:
    found, faults, tracks = Counter[ContentKind](), [], []
    ids: set[str] = set()
    for number, record in enumerate(records):
        place = f"{where}#tracks/{number}"
        counts = _count(record)
        found += counts
        track_id = id_of(record.get("id")) if isinstance(record, dict) else None
        if track_id is None or track_id in ids or not _is_whole(record):
            reason = "repeated_track" if track_id in ids else "bad_record"
            message = (
                "another track has its id" if track_id in ids else "has no id, or lists of other lengths"
            )
            faults.append(Fault(place, reason, message, dict(counts)))
            continue
        boxes = TrackBoxes(video.num_frames)
        own_faults = _add_boxes(boxes, track_id, record, place)
        texts = {key: text_of(record.get(key)) for key in ("label", "caption")}
        read = boxes.tracks({track_id: {**texts, "meta": _meta(record)}})
        if not read:
            faults.append(Fault(place, "no_boxes", f"track {track_id} has no box", dict(counts)))
            continue
        ids.add(track_id)
        tracks += read
        faults += own_faults
    return ReadVideo(video.model_copy(update={"tracks": tracks}), found, faults)


def _count(record: Any) -> Counter[ContentKind]:
    fields = record if isinstance(record, dict) else {}
    boxes = fields.get("boxes_xyxy")
    return Counter(
        {
            ContentKind.TRACKS: 1,
            ContentKind.BOXES: len(boxes) if isinstance(boxes, list) else 0,
            ContentKind.CAPTIONS: int(text_of(fields.get("caption")) is not None),
        }
    )


def _is_whole(record: dict[str, Any]) -> bool:
    """Whether the lists of a track are lists, and as long as its frames."""
    frames = record.get("frames")
    if not isinstance(frames, list) or not isinstance(record.get("boxes_xyxy"), list):
        return False
    lists = (record.get(key) for key in ("boxes_xyxy", "scores", "masks"))
    return all(
        values is None or (isinstance(values, list) and len(values) == len(frames)) for values in lists
    )


def _add_boxes(boxes: TrackBoxes, track_id: str, record: dict[str, Any], where: str) -> list[Fault]:
    faults = []
    nothing = [None] * len(record["frames"])
    lists = (
        record["frames"],
        record["boxes_xyxy"],
        record.get("scores") or nothing,
        record.get("masks") or nothing,
    )
    for number, (frame, box, score, mask) in enumerate(zip(*lists, strict=True)):
        fault: tuple[str, str] | None
        try:
            left, top, right, bottom = (float(value) for value in box)
            rle = None if mask is None else MaskRle.model_validate(mask)
        except (TypeError, ValueError, OverflowError):
            fault = "not_a_box", "its box is not four numbers, or its mask no run lengths"
        else:
            at = frame if isinstance(frame, int) and not isinstance(frame, bool) else -1
            value = number_of(score)
            fault = boxes.add(track_id, at, (left, top, right, bottom), score=value, mask=rle)
        if fault is not None:
            faults.append(Fault(f"{where}/{number}", fault[0], fault[1], {ContentKind.BOXES: 1}))
    return faults


def _meta(record: dict[str, Any]) -> dict[str, Any] | None:
    known = ("id", "label", "caption", "frames", "boxes_xyxy", "scores", "masks", "meta")
    own = record.get("meta")
    rest = {key: value for key, value in record.items() if key not in known}
    return {**(own if isinstance(own, dict) else {}), **rest} or None
