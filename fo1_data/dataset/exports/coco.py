"""COCO detection JSON, one file a split: `<split>.json`. Ids are unique over all splits.

`file_name` is the image's address, absolute or below the folder that all images share; or that of its copy.

Boxes are x, y, width, height in pixels of the EXIF-oriented image. Captions stay with their region
(`caption`, `detailed_caption`, `text` of the annotation), and so does its mask (`segmentation`); groundings
and counts stay with their image as extra keys that COCO tools pass over. A region of several classes is one
annotation a class. Of a dataset with tracks, `videos` lists the videos, an image that is a keyframe has
`video_id` and `frame_id` (from 0), and an annotation has `track_id`, a number; `track` is its name in the
dataset.
"""

import json
from collections.abc import Iterator
from typing import Any

from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.card import splits_of
from fo1_data.dataset.exports.categories import class_names, region_classes
from fo1_data.dataset.exports.json_lists import JsonList, json_bytes
from fo1_data.dataset.exports.names import names_of
from fo1_data.dataset.exports.places import absolute_address
from fo1_data.dataset.layout import TRACKS, VIDEOS
from fo1_data.dataset.light_rows import light_rows
from fo1_data.dataset.pixels import image_bytes, suffix_of_bytes, upright
from fo1_data.dataset.reader import Dataset
from fo1_data.dataset.versions.publish import without_stale
from fo1_data.masks import mask_area
from fo1_data.storage.store import Store
from schemas.dataset import Manifest
from schemas.images import ImageRow
from schemas.regions import Region

_VIDEO_COLUMNS = ["video_id", "uri", "width", "height", "num_frames", "fps"]


def export_coco(
    dataset: Dataset, store: Store, limits: InputLimits, *, copy_images: bool = False, file_names: str = ""
) -> dict[str, int]:
    """Write every split; returns how many images, annotations and categories.

    `copy_images`: write the images, upright, to `images/<split>/`. `file_names`: `absolute` or `relative`, by
    default relative if images are copied, else absolute.
    """
    names = class_names(dataset)
    category_ids = {name: number for number, name in enumerate(names, start=1)}
    relative = file_names == "relative" or (copy_images and not file_names)
    image_names = names_of(dataset)
    numbers = _Numbers(dataset)

    def file_name_of(row: ImageRow, split: str) -> str:
        if not copy_images:
            return image_names.original(row) if relative else row.uri
        data = upright(row, image_bytes(row, limits), limits)
        path = f"images/{split}/{image_names.stem(row, split)}.{suffix_of_bytes(data)}"
        store.write_bytes(path, data)
        return path if relative else absolute_address(store, path)

    num_images = num_annotations = 0
    for split in splits_of(dataset.manifest.files):
        with JsonList() as images, JsonList() as annotations:
            for row in map(without_stale, light_rows(dataset, split, pixels=copy_images)):
                num_images += 1
                image = _image(row, num_images, file_name_of(row, split))
                images.append({**image, **numbers.of_image(row)})
                for annotation in _annotations(row, category_ids, numbers):
                    num_annotations += 1
                    ids = {"id": num_annotations, "image_id": num_images}
                    annotations.append({**ids, **annotation})
            videos = numbers.videos()
            document = _document(dataset.manifest, split, images, annotations, category_ids, videos)
            store.write_chunks(f"{split}.json", document)
    return {"images": num_images, "annotations": num_annotations, "categories": len(names)}


class _Numbers:
    """The numbers of videos and tracks, from 1, in the order of the dataset."""

    def __init__(self, dataset: Dataset) -> None:
        self._videos = {
            record["video_id"]: (number, record)
            for number, record in enumerate(_records(dataset, VIDEOS, _VIDEO_COLUMNS), start=1)
        }
        names = (record["track_id"] for record in _records(dataset, TRACKS, ["track_id"]))
        self._tracks = {name: number for number, name in enumerate(names, start=1)}

    def videos(self) -> list[dict[str, Any]]:
        """The list `videos`; empty without videos."""
        return [
            {
                "id": number, "name": record["uri"], "sha256": video_id, "width": record["width"],
                "height": record["height"], "length": record["num_frames"], "fps": record["fps"],
            }
            for video_id, (number, record) in self._videos.items()
        ]  # fmt: skip

    def of_image(self, row: ImageRow) -> dict[str, Any]:
        """The video and the frame of a keyframe; nothing of other images."""
        is_keyframe = bool(self._videos) and '"video_id"' in (row.meta or "")
        meta = json.loads(row.meta or "{}") if is_keyframe else {}
        number, _ = self._videos.get(meta.get("video_id"), (None, None))
        return {"video_id": number, "frame_id": meta.get("frame")} if number is not None else {}

    def of_region(self, region: Region) -> dict[str, Any]:
        """The track of a region; nothing without one."""
        if region.track_id is None:
            return {}
        return {"track_id": self._tracks.get(region.track_id), "track": region.track_id}


def _records(dataset: Dataset, table: str, columns: list[str]) -> Iterator[dict[str, Any]]:
    for batch in dataset.batches_of(table, columns):
        yield from batch.to_pylist()


def _document(
    manifest: Manifest,
    split: str,
    images: JsonList,
    annotations: JsonList,
    category_ids: dict[str, int],
    videos: list[dict[str, Any]],
) -> Iterator[bytes]:
    """The JSON document of a split, in pieces."""
    info = {
        "description": f"{manifest.name}, version {manifest.version}, {split}",
        "date_created": manifest.created_at,
        "model_licence": manifest.model.licence if manifest.model else None,
    }
    categories = [{"id": number, "name": name} for name, number in category_ids.items()]
    yield b'{"info": ' + json_bytes(info) + b', "licenses": [], "images": '
    yield from images.chunks()
    yield b', "annotations": '
    yield from annotations.chunks()
    if videos:
        yield b', "videos": ' + json_bytes(videos)
    yield b', "categories": ' + json_bytes(categories) + b"}"


def _image(row: ImageRow, image_id: int, file_name: str) -> dict[str, Any]:
    return {
        "id": image_id,
        "file_name": file_name,
        "width": row.width,
        "height": row.height,
        "sha256": row.image_id,
        "caption": row.caption,
        "groundings": [
            {"phrase": part.phrase, "kind": part.kind, "region_ids": part.region_ids}
            for part in row.groundings
        ],
        "counts": [{"phrase": part.phrase, "count": part.count} for part in row.counts],
    }


def _annotations(row: ImageRow, category_ids: dict[str, int], numbers: _Numbers) -> Iterator[dict[str, Any]]:
    classes = region_classes(row)
    for region in row.regions:
        for name in classes[region.region_id]:
            yield {"category_id": category_ids[name], **_annotation(region), **numbers.of_region(region)}


def _annotation(region: Region) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = region.box_xyxy
    mask = region.mask_rle
    area = (x_max - x_min) * (y_max - y_min) if mask is None else mask_area(mask)
    return {
        "bbox": [x_min, y_min, x_max - x_min, y_max - y_min],
        "area": area,
        "iscrowd": 0,
        **({"segmentation": mask.model_dump()} if mask is not None else {}),
        "region_id": region.region_id,
        "region_index": region.index,
        "objectness": region.objectness,
        "label": region.corpus_label,
        "detector_label": region.detector_label,
        "caption": region.brief_caption,
        "detailed_caption": region.detailed_caption,
        "text": region.text,
        "source_caption": region.source_caption,
        "decision": region.decision,
    }
