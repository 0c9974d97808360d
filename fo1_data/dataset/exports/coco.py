"""COCO detection JSON, one file a split: `<split>.json`. No pixels: `file_name` is the image's address.

Boxes are x, y, width, height in pixels of the EXIF-oriented image. Captions stay with their region
(`caption`, `detailed_caption`, `text` of the annotation), groundings and counts with their image
as extra keys that COCO tools pass over. A region of several classes is one annotation a class.
"""

import json
from collections.abc import Iterator
from typing import Any

from fo1_data.dataset.card import splits_of
from fo1_data.dataset.exports.categories import class_names, region_classes
from fo1_data.dataset.reader import Dataset
from fo1_data.storage.store import Store
from schemas.images import ImageRow
from schemas.regions import Region


def export_coco(dataset: Dataset, store: Store) -> dict[str, int]:
    """Write every split; returns how many images, annotations and categories."""
    names = class_names(dataset.rows())
    category_ids = {name: number for number, name in enumerate(names, start=1)}
    images = annotations = 0
    for split in splits_of(dataset.manifest.files):
        document = _document(dataset, split, category_ids)
        store.write_bytes(f"{split}.json", json.dumps(document, ensure_ascii=False, allow_nan=False).encode())
        images += len(document["images"])
        annotations += len(document["annotations"])
    return {"images": images, "annotations": annotations, "categories": len(names)}


def _document(dataset: Dataset, split: str, category_ids: dict[str, int]) -> dict[str, Any]:
    manifest = dataset.manifest
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, row in enumerate(dataset.rows(split), start=1):
        images.append(_image(row, number))
        for annotation in _annotations(row, category_ids):
            annotations.append({"id": len(annotations) + 1, "image_id": number, **annotation})
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


def _image(row: ImageRow, number: int) -> dict[str, Any]:
    return {
        "id": number,
        "file_name": row.uri,
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
