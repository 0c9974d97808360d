"""Tracks as the report page shows them: each a strip of its thing in the keyframes, with what is said of it.

The most doubtful tracks come first: those for review, then those whose keyframes agree least, then those in
the order of the dataset. Memory: the pictures of the chosen tracks, and one whole keyframe.
"""

import base64
import heapq
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from PIL import Image

from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.layout import TRACKS, VIDEOS
from fo1_data.dataset.pixels import decode_row, image_bytes
from fo1_data.dataset.reader import Dataset, column_values
from fo1_data.dataset.rows_by_place import rows_at
from fo1_data.dataset.tracks_table import table_to_tracks
from fo1_data.errors import DatasetError, InputReject
from fo1_data.storage.addresses import base_name
from schemas.images import ImageRow
from schemas.labels import Decision, Label, Source
from schemas.regions import Box
from schemas.tracks import TRACK_DISAGREES, Track

MOST_TRACKS = 24
MOST_CROPS = 6
_CROP_PX = 150
# Around the box, as a share of its longer side.
_MARGIN = 0.15
_AGREEMENT = "track_agreement"


@dataclass(frozen=True)
class Crop:
    """A thing in a keyframe. `picture`: a data URI, None if the frame cannot be read."""

    time: str
    frame: int
    picture: str | None


@dataclass(frozen=True)
class Strip:
    """A track of the page. `agreement`: the least of its labels', null if nothing was asked of it."""

    track: Track
    video: str
    span: str
    num_frames: int
    caption: str
    more: list[str]
    agreement: float | None
    disagrees: bool
    confidence: float | None
    is_of_person: bool
    crops: list[Crop] = field(default_factory=list)


def track_strips(dataset: Dataset, limits: InputLimits, num: int = MOST_TRACKS) -> list[Strip]:
    """At most `num` tracks with their pictures; none of a dataset without tracks. Raises DatasetError."""
    tracks = _chosen(dataset, num)
    if not tracks:
        return []
    names = {
        record["video_id"]: base_name(record["uri"]) or record["uri"]
        for batch in dataset.batches_of(VIDEOS, ["video_id", "uri"])
        for record in batch.to_pylist()
    }
    wanted = {
        track.track_id: {keyframe.image_id: keyframe for keyframe in track.keyframes[:MOST_CROPS]}
        for track in tracks
    }
    pictures: dict[tuple[str, str], str] = {}
    for row in _rows(dataset, {image_id for of_track in wanted.values() for image_id in of_track}):
        shown = [track for track in tracks if row.image_id in wanted[track.track_id]]
        boxes = {
            track.track_id: _box_in(track, wanted[track.track_id][row.image_id].frame) for track in shown
        }
        try:
            frame = decode_row(row, image_bytes(row, limits), limits).rgb
        except (DatasetError, InputReject):
            continue
        pictures |= {(name, row.image_id): _picture(frame, box) for name, box in boxes.items() if box}
    return [_strip(track, names.get(track.video_id, ""), pictures) for track in tracks]


def clock(time_s: float) -> str:
    """A time in a video for people: minutes, seconds and tenths, hours if there are any."""
    tenths = round(10 * time_s)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{tenths // 10:02d}.{tenths % 10}"
    return f"{hours}:{minutes:02d}:{seconds}" if hours else f"{minutes}:{seconds}"


def _chosen(dataset: Dataset, num: int) -> list[Track]:
    """The tracks to show, the most doubtful first."""

    def ranked() -> Iterator[tuple[bool, float, int]]:
        place = 0
        for batch in dataset.batches_of(TRACKS, ["decision", "labels"]):
            for record in batch.to_pylist():
                labels = [Label.model_validate(label) for label in record["labels"]]
                agreement = _agreement(labels)
                in_review = record["decision"] == Decision.REVIEW or _disagrees(labels)
                yield not in_review, 1.0 if agreement is None else agreement, place
                place += 1

    order = {place: rank for rank, (_, _, place) in enumerate(heapq.nsmallest(num, ranked()))}
    found: dict[int, Track] = {}
    start = 0
    for batch in dataset.batches_of(TRACKS):
        for place in range(start, start + batch.num_rows):
            if place in order:
                (found[order[place]],) = table_to_tracks(batch.slice(place - start, 1))
        start += batch.num_rows
    return [found[rank] for rank in sorted(found)]


def _rows(dataset: Dataset, image_ids: set[str]) -> Iterator[ImageRow]:
    """The rows of these images, one at a time."""
    ids = column_values(dataset.store, dataset.manifest, ["image_id"])
    places = [place for place, record in enumerate(ids) if record["image_id"] in image_ids]
    for place in places:
        yield from rows_at(dataset, [place])


def _strip(track: Track, video: str, pictures: dict[tuple[str, str], str]) -> Strip:
    confidences = [label.confidence for label in track.all_labels() if label.confidence is not None]
    texts = [track.detailed_caption, f"“{track.text}”" if track.text else None]
    texts += [part.phrase for part in track.phrases]
    texts += [f"{part.question} {part.answer}" for part in track.answers]
    caption = track.brief_caption or track.source_caption or track.source_label or "no label"
    return Strip(
        track=track,
        video=video,
        span=f"{clock(track.times_s[0])} – {clock(track.times_s[-1])}",
        num_frames=len(track.frames),
        caption=caption,
        more=[text for text in dict.fromkeys(texts) if text and text != caption],
        agreement=_agreement(track.all_labels()),
        disagrees=_disagrees(track.all_labels()),
        confidence=min(confidences) if confidences else None,
        is_of_person=any(label.source is Source.HUMAN for label in track.all_labels()),
        crops=[
            Crop(clock(keyframe.time_s), keyframe.frame, pictures.get((track.track_id, keyframe.image_id)))
            for keyframe in track.keyframes[:MOST_CROPS]
        ],
    )


def _agreement(labels: Sequence[Label]) -> float | None:
    values = [signal.value for label in labels for signal in label.signals if signal.name == _AGREEMENT]
    return min(values) if values else None


def _disagrees(labels: Sequence[Label]) -> bool:
    return any(TRACK_DISAGREES in label.reasons for label in labels)


def _box_in(track: Track, frame: int) -> Box | None:
    return track.boxes_xyxy[track.frames.index(frame)] if frame in track.frames else None


def _picture(frame: Image.Image, box: Box) -> str:
    """The box with a margin, as a data URI."""
    margin = _MARGIN * max(box[2] - box[0], box[3] - box[1])
    left, top = max(0, int(box[0] - margin)), max(0, int(box[1] - margin))
    right = min(frame.width, max(left + 1, int(box[2] + margin) + 1))
    bottom = min(frame.height, max(top + 1, int(box[3] + margin) + 1))
    crop = frame.crop((left, top, right, bottom))
    scale = _CROP_PX / max(crop.size)
    size = max(1, round(crop.width * scale)), max(1, round(crop.height * scale))
    buffer = io.BytesIO()
    crop.resize(size, Image.Resampling.LANCZOS).save(buffer, format="JPEG", quality=82, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
