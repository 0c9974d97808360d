"""COCO JSON with tracks: images that name their video, annotations that name their track.

An image has `video_id` and a place in its video (`frame_id`, `frame_index`, `frame_idx` or `mot_frame_id`,
else the order of the file); an annotation has `track_id` or `instance_id`. Of several categories of a track
the most frequent one counts. The frames of a video are its
images in that order, numbered anew from 0: where only every n-th frame is listed, the video is these frames.
Annotations without a track are refused (`no_identity`), those of an image that is not listed too
(`unknown_image`), and of an id that several images have (`ambiguous_id`). Boxes in pixels. The whole document
is held in memory.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from fo1_data.corpus.forms.coco_annotation import box_of_annotation, count_annotation
from fo1_data.corpus.forms.record_fields import id_of, objects_of, text_of, whole_number
from fo1_data.corpus.forms.segmentation_masks import mask_of_segmentation
from fo1_data.corpus.forms.shapes import number_of, rate_of
from fo1_data.corpus.forms.video_tracks import Fault, ReadVideo, TrackBoxes, class_notes, mask_notes
from schemas.corpus import GivenVideo
from schemas.sources import ContentKind

Record = dict[str, Any]
_TRACK_KEYS = ("track_id", "instance_id")
_FRAME_KEYS = ("frame_id", "frame_index", "frame_idx", "mot_frame_id")


def is_coco_tracks(document: Any) -> bool:
    """Whether a JSON document is COCO's, has images of videos, and annotations of tracks."""
    if not isinstance(document, dict):
        return False
    has_videos = any(image.get("video_id") is not None for image in objects_of(document, "images"))
    return has_videos and any(_track_id(item) is not None for item in objects_of(document, "annotations"))


def _track_id(annotation: Record) -> str | None:
    return next((id_of(annotation[key]) for key in _TRACK_KEYS if annotation.get(key) is not None), None)


def read_coco_tracks(document: Record, address: str) -> Iterator[ReadVideo | Fault]:
    """The videos of a document in the order of their first images, and what belongs to none of them."""
    names = {id_of(item.get("id")): text_of(item.get("name")) for item in objects_of(document, "categories")}
    videos = {id_of(item.get("id")): item for item in objects_of(document, "videos")}
    images: dict[str, list[Record]] = defaultdict(list)
    for number, image in enumerate(document["images"]):
        video_id = id_of(image.get("video_id")) if isinstance(image, dict) else None
        if video_id is None or not isinstance(image.get("file_name"), str):
            where = f"{address}#images/{number}"
            yield Fault(where, "no_video", "names no video, or has no file_name", {ContentKind.IMAGES: 1})
        else:
            images[video_id].append(image)
    by_image: dict[str | None, list[tuple[str, Record]]] = defaultdict(list)
    for number, annotation in enumerate(document["annotations"]):
        where = f"{address}#annotations/{number}"
        if isinstance(annotation, dict):
            by_image[id_of(annotation.get("image_id"))].append((where, annotation))
        else:
            yield Fault(where, "bad_record", "is not an object", {ContentKind.BOXES: 1})
    listed = Counter(id_of(image.get("id")) for of_video in images.values() for image in of_video)
    for name, number in listed.items():
        if number > 1 and name is not None and (unclear := by_image.pop(name, [])):
            message = f"{number} images have the id {name}"
            yield Fault(unclear[0][0], "ambiguous_id", message, _counts(unclear))
    for video_id, of_video in images.items():
        yield _read(videos.get(video_id, {"id": video_id}), _in_order(of_video), by_image, names)
    for image_id, rest in by_image.items():
        message = f"its image {image_id} is of no video" if image_id else "names no image"
        yield Fault(rest[0][0], "unknown_image", message, _counts(rest))


def _counts(annotations: list[tuple[str, Record]]) -> dict[ContentKind, int]:
    return dict(sum((count_annotation(annotation) for _, annotation in annotations), Counter[ContentKind]()))


def _in_order(images: list[Record]) -> list[Record]:
    key = next((key for key in _FRAME_KEYS if all(isinstance(image.get(key), int) for image in images)), None)
    return images if key is None else sorted(images, key=lambda image: int(image[key]))


def _read(
    record: Record,
    images: list[Record],
    by_image: dict[str | None, list[tuple[str, Record]]],
    names: dict[str | None, str | None],
) -> ReadVideo:
    first, fps = images[0], record.get("fps")
    width, height = (
        whole_number(first.get(key) if first.get(key) is not None else record.get(key))
        for key in ("width", "height")
    )
    files = [image["file_name"] for image in images]
    boxes, faults, found = TrackBoxes(len(images)), [], Counter[ContentKind]()
    fields: dict[str, dict[str, Any]] = {}
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    num_segmentations = 0
    for frame, image in enumerate(images):
        image_id = id_of(image.get("id"))
        for where, annotation in by_image.pop(image_id, []) if image_id is not None else ():
            counts = _count(annotation)
            found += counts
            num_segmentations += bool(annotation.get("segmentation"))
            fault = _add(boxes, frame, annotation, (height, width))
            track_id = _track_id(annotation)
            if fault is not None or track_id is None:
                reason, message = fault or ("no_identity", "")
                faults.append(Fault(where, reason, message, dict(counts)))
                continue
            known = fields.setdefault(track_id, {"label": None, "caption": None})
            if (label := _label(annotation, names)) is not None:
                labels[track_id][label] += 1
            caption = text_of(annotation.get("caption"))
            if caption is not None and known["caption"] is None:
                known["caption"] = caption
            elif caption is not None:
                faults += _other_caption(where, known["caption"], caption)
                found -= Counter({ContentKind.CAPTIONS: int(known["caption"] == caption)})
    for track_id, of_track in labels.items():
        fields[track_id]["label"] = of_track.most_common(1)[0][0]
    tracks = boxes.tracks(fields)
    video = GivenVideo(
        video=text_of(record.get("name")) or files[0].rpartition("/")[0] or str(record.get("id")),
        id=id_of(record.get("id")),
        width=width,
        height=height,
        fps=rate_of(fps),
        num_frames=len(images),
        frame_files=files,
        tracks=tracks,
    )
    num_masks = sum(mask is not None for track in tracks for mask in track.masks or [])
    notes = [*mask_notes(num_segmentations - num_masks), *class_notes(labels)]
    return ReadVideo(video, found + Counter({ContentKind.TRACKS: len(tracks)}), faults, notes)


def _count(annotation: Record) -> Counter[ContentKind]:
    """A box, and its caption: the captions of the boxes of a track that are alike are one."""
    has_caption = text_of(annotation.get("caption")) is not None
    return Counter({ContentKind.BOXES: 1, ContentKind.CAPTIONS: int(has_caption)})


def _other_caption(where: str, kept: str, caption: str) -> list[Fault]:
    if kept == caption:
        return []
    message = f"its track is {kept!r} and {caption!r}; the first is kept"
    return [Fault(where, "several_captions", message, {ContentKind.CAPTIONS: 1})]


def _label(annotation: Record, names: dict[str | None, str | None]) -> str | None:
    category = annotation.get("category_id")
    return names.get(id_of(category)) or text_of(category)


def _add(
    boxes: TrackBoxes, frame: int, annotation: Record, size_hw: tuple[int | None, int | None]
) -> tuple[str, str] | None:
    track_id = _track_id(annotation)
    if track_id is None:
        return "no_identity", "names no track"
    segmentation, score = annotation.get("segmentation"), annotation.get("score")
    return boxes.add(
        track_id,
        frame,
        box_of_annotation(annotation),
        score=number_of(score),
        mask=mask_of_segmentation(segmentation, *size_hw) if segmentation else None,
    )
