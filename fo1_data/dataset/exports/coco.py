"""COCO detection JSON, one file a split: `<split>.json`. Ids are unique over all splits.

`file_name` is the image's address, absolute or below the folder that all images share; or that of its copy.

Boxes are x, y, width, height in pixels of the EXIF-oriented image. Captions stay with their region
(`caption`, `detailed_caption`, `text` of the annotation), groundings and counts with their image
as extra keys that COCO tools pass over. A region of several classes is one annotation a class.
"""

import json
from collections.abc import Iterator
from typing import Any

from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.card import splits_of
from fo1_data.dataset.exports.categories import class_names, region_classes
from fo1_data.dataset.exports.names import names_of
from fo1_data.dataset.exports.places import absolute_address
from fo1_data.dataset.pixels import image_bytes, suffix_of_bytes, upright
from fo1_data.dataset.reader import Dataset
from fo1_data.dataset.versions.publish import without_stale
from fo1_data.storage.store import Store
from schemas.dataset import Manifest
from schemas.images import ImageRow
from schemas.regions import Region


def export_coco(
    dataset: Dataset, store: Store, limits: InputLimits, *, copy_images: bool = False, file_names: str = ""
) -> dict[str, int]:
    """Write every split; returns how many images, annotations and categories.

    `copy_images`: write the images, upright, to `images/<split>/`. `file_names`: `absolute` or `relative`, by
    default relative if images are copied, else absolute.
    """
    names = class_names(dataset.rows())
    category_ids = {name: number for number, name in enumerate(names, start=1)}
    relative = file_names == "relative" or (copy_images and not file_names)
    image_names = names_of(dataset)
    num_images = num_annotations = 0
    for split in splits_of(dataset.manifest.files):
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for row in map(without_stale, dataset.rows(split)):
            image_id = num_images + len(images) + 1
            if copy_images:
                data = upright(row, image_bytes(row, limits), limits)
                path = f"images/{split}/{image_names.stem(row, split)}.{suffix_of_bytes(data)}"
                store.write_bytes(path, data)
                file_name = path if relative else absolute_address(store, path)
            else:
                file_name = image_names.original(row) if relative else row.uri
            images.append(_image(row, image_id, file_name))
            for annotation in _annotations(row, category_ids):
                annotation_id = num_annotations + len(annotations) + 1
                annotations.append({"id": annotation_id, "image_id": image_id, **annotation})
        document = _document(dataset.manifest, split, images, annotations, category_ids)
        store.write_bytes(f"{split}.json", json.dumps(document, ensure_ascii=False, allow_nan=False).encode())
        num_images, num_annotations = num_images + len(images), num_annotations + len(annotations)
    return {"images": num_images, "annotations": num_annotations, "categories": len(names)}


def _document(
    manifest: Manifest,
    split: str,
    images: list[dict[str, Any]],
    annotations: list[dict[str, Any]],
    category_ids: dict[str, int],
) -> dict[str, Any]:
    licence = manifest.model.licence if manifest.model else None
    return {
        "info": {
            "description": f"{manifest.name}, version {manifest.version}, {split}",
            "date_created": manifest.created_at,
            "model_licence": licence,
        },
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in category_ids.items()],
    }


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


def _annotations(row: ImageRow, category_ids: dict[str, int]) -> Iterator[dict[str, Any]]:
    classes = region_classes(row)
    for region in row.regions:
        for name in classes[region.region_id]:
            yield {"category_id": category_ids[name], **_annotation(region)}


def _annotation(region: Region) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = region.box_xyxy
    return {
        "bbox": [x_min, y_min, x_max - x_min, y_max - y_min],
        "area": (x_max - x_min) * (y_max - y_min),
        "iscrowd": 0,
        "region_id": region.region_id,
        "region_index": region.index,
        "objectness": region.objectness,
        "label": region.source_label,
        "caption": region.brief_caption,
        "detailed_caption": region.detailed_caption,
        "text": region.text,
        "source_caption": region.source_caption,
        "decision": region.decision,
    }
