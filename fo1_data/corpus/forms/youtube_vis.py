"""JSON in the style of YouTube-VIS: `videos` with their `file_names`, and an annotation for each track.

An annotation has `bboxes` (x, y, width, height) and `segmentations`, both with an item a frame, null where
the thing is not seen; without a box, the one around the segmentation is taken. `caption`, `score`, `scores`
and `track_id` are read where they are given, ids else from `id`. Boxes in pixels, frames in the order of
`file_names`. A video may be a file instead (`file_name`). The whole document is held in memory.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from fo1_data.corpus.forms.coco_annotation import box_of_annotation
from fo1_data.corpus.forms.record_fields import id_of, objects_of, text_of, whole_number
from fo1_data.corpus.forms.segmentation_masks import mask_of_segmentation
from fo1_data.corpus.forms.shapes import number_of, rate_of
from fo1_data.corpus.forms.video_places import frames_of_file_names
from fo1_data.corpus.forms.video_tracks import Fault, ReadVideo, TrackBoxes, mask_notes
from schemas.corpus import GivenTrack, GivenVideo
from schemas.sources import ContentKind

Annotation = dict[str, Any]
_NOT_KEPT = ("id", "file_names", "file_name", "width", "height", "length", "fps", "name")
# Fields of an annotation that tell of its track as a whole.
_META = ("iscrowd", "occlusion")


def is_youtube_vis(document: Any) -> bool:
    """Whether a JSON document lists videos and no images of them."""
    if not isinstance(document, dict) or document.get("images"):
        return False
    videos = objects_of(document, "videos")
    return any(bool({"file_names", "length", "file_name"} & video.keys()) for video in videos)


def read_youtube_vis(document: dict[str, Any], address: str) -> Iterator[ReadVideo | Fault]:
    """The videos of a document in its order, and annotations of none of them."""
    names = {id_of(item.get("id")): text_of(item.get("name")) for item in objects_of(document, "categories")}
    by_video: dict[str | None, list[tuple[str, Annotation]]] = defaultdict(list)
    annotations = document.get("annotations")
    for number, annotation in enumerate(annotations if isinstance(annotations, list) else []):
        where = f"{address}#annotations/{number}"
        if isinstance(annotation, dict):
            by_video[id_of(annotation.get("video_id"))].append((where, annotation))
        else:
            yield Fault(where, "bad_record", "is not an object", {ContentKind.TRACKS: 1})
    has_tracks = isinstance(annotations, list)
    if annotations is not None and not has_tracks:
        yield Fault(f"{address}#annotations", "bad_record", "is not a list", {})
    for number, record in enumerate(document["videos"]):
        where = f"{address}#videos/{number}"
        video = _video(record) if isinstance(record, dict) else None
        if video is None:
            yield Fault(where, "bad_record", "has neither file_names nor a name", {ContentKind.IMAGES: 1})
            continue
        yield _read(video, by_video.pop(id_of(record.get("id")), []), names, has_tracks=has_tracks)
    for video_id, rest in by_video.items():
        counts = sum((count_annotation(annotation) for _, annotation in rest), Counter[ContentKind]())
        message = f"its video {video_id} is not listed" if video_id else "names no video"
        yield Fault(rest[0][0], "unknown_video", message, dict(counts))


def is_youtube_vis_results(document: Any) -> bool:
    """Whether a JSON document is a list of predicted tracks, each of a video that another file lists."""
    first = document[0] if isinstance(document, list) and document else None
    keys = first.keys() if isinstance(first, dict) else set()
    return "video_id" in keys and bool({"bboxes", "segmentations"} & keys)


def read_youtube_vis_results(document: list[Any], address: str) -> Iterator[ReadVideo | Fault]:
    """The videos of a list of predicted tracks, each named by its id; a category by its number."""
    by_video: dict[str, list[tuple[str, Annotation]]] = defaultdict(list)
    for number, annotation in enumerate(document):
        where = f"{address}#{number}"
        video_id = id_of(annotation.get("video_id")) if isinstance(annotation, dict) else None
        if video_id is None:
            yield Fault(where, "bad_record", "is no track of a video", {ContentKind.TRACKS: 1})
        else:
            by_video[video_id].append((where, {"track_id": number, **annotation}))
    for video_id, annotations in by_video.items():
        video = GivenVideo(video=video_id, id=video_id)
        yield _read(video, annotations, {}, has_tracks=True)


def _video(record: dict[str, Any]) -> GivenVideo | None:
    frames = frames_of_file_names(record.get("file_names"))
    names = record.get("file_names")
    only = names[0] if isinstance(names, list) and len(names) == 1 and isinstance(names[0], str) else None
    name = text_of(record.get("name")) or text_of(record.get("file_name")) or (None if frames else only)
    if name is None and frames is None:
        return None
    folder = frames[0].rpartition("/")[0] if frames else ""
    fps = record.get("fps")
    return GivenVideo(
        video=name or folder or str(id_of(record.get("id"))),
        id=id_of(record.get("id")),
        width=whole_number(record.get("width")),
        height=whole_number(record.get("height")),
        fps=rate_of(fps),
        num_frames=len(frames) if frames else whole_number(record.get("length")),
        frame_files=frames,
        meta={key: value for key, value in record.items() if key not in _NOT_KEPT} or None,
    )


def count_annotation(annotation: Annotation) -> Counter[ContentKind]:
    """What an annotation holds: a track, with a box for each frame in which it has one or a segmentation."""
    boxes, segmentations = (_items(annotation.get(key)) for key in ("bboxes", "segmentations"))
    length = max(len(boxes), len(segmentations))
    num = sum(
        any(place < len(items) and items[place] for items in (boxes, segmentations))
        for place in range(length)
    )
    has_caption = text_of(annotation.get("caption")) is not None
    return Counter({ContentKind.TRACKS: 1, ContentKind.BOXES: num, ContentKind.CAPTIONS: int(has_caption)})


def _read(
    video: GivenVideo,
    annotations: list[tuple[str, Annotation]],
    names: dict[str | None, str | None],
    *,
    has_tracks: bool,
) -> ReadVideo:
    found, faults, tracks = Counter[ContentKind](), [], []
    ids: set[str] = set()
    for where, annotation in annotations:
        counts = count_annotation(annotation)
        found += counts
        track_id = id_of(annotation.get("track_id", annotation.get("id"))) or where.rpartition("/")[2]
        boxes = TrackBoxes(video.num_frames)
        own_faults = _add_boxes(boxes, track_id, annotation, where, video)
        read = boxes.tracks({track_id: _fields(annotation, names)})
        if not read or track_id in ids:
            reason, text = (
                ("repeated_track", "another track has its id") if read else ("no_boxes", "has no box")
            )
            faults.append(Fault(where, reason, f"track {track_id} {text}", dict(counts)))
            continue
        ids.add(track_id)
        tracks += read
        faults += own_faults
    notes = mask_notes(_num_unread(annotations, tracks))
    return ReadVideo(
        video.model_copy(update={"tracks": tracks if has_tracks else None}), found, faults, notes
    )


def _num_unread(annotations: list[tuple[str, Annotation]], tracks: list[GivenTrack]) -> int:
    """How many segmentations gave no mask, those of refused boxes too."""
    num = sum(bool(one) for _, annotation in annotations for one in _items(annotation.get("segmentations")))
    return num - sum(mask is not None for track in tracks for mask in track.masks or [])


def _fields(annotation: Annotation, names: dict[str | None, str | None]) -> dict[str, Any]:
    category = annotation.get("category_id")
    meta = {key: annotation[key] for key in _META if annotation.get(key)}
    return {
        "label": names.get(id_of(category)) or text_of(category),
        "caption": text_of(annotation.get("caption")),
        "meta": meta or None,
    }


def _add_boxes(
    boxes: TrackBoxes, track_id: str, annotation: Annotation, where: str, video: GivenVideo
) -> list[Fault]:
    """Add the boxes of a track; what of them cannot be taken."""
    faults = []
    listed, segmentations = (_items(annotation.get(key)) for key in ("bboxes", "segmentations"))
    scores = _items(annotation.get("scores"))
    for frame in range(max(len(listed), len(segmentations))):
        box, segmentation, score = (_at(items, frame) for items in (listed, segmentations, scores))
        if not box and not segmentation:
            continue
        fault = boxes.add(
            track_id,
            frame,
            box_of_annotation({"bbox": box, "segmentation": segmentation}),
            score=number_of(score if score is not None else annotation.get("score")),
            mask=mask_of_segmentation(segmentation, video.height, video.width) if segmentation else None,
        )
        if fault is not None:
            faults.append(Fault(f"{where}/{frame}", fault[0], fault[1], {ContentKind.BOXES: 1}))
    return faults


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _at(items: list[Any], place: int) -> Any:
    return items[place] if place < len(items) else None
