"""COCO JSON: `images`, `annotations` (boxes x, y, width, height; captions) and `categories`.

The whole file is held in memory. Images are looked for in its folder, in `images/`, and in folders named like
the split in the file name (`instances_train2017.json` -> `train2017/`), there and one level up. Ids, crowd
flags and other short fields are kept in `meta`; segmentations are not.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from fo1_data.corpus.forms.annotations import entry_of_record, places_beside
from fo1_data.corpus.forms.benchmarks import (
    is_benchmark_record,
    is_referring_coco,
    read_records,
    referring_records,
)
from fo1_data.corpus.forms.record_fields import (
    box_of,
    id_of,
    keep_region_meta,
    objects_of,
    text_of,
    validation_text,
    whole_number,
)
from fo1_data.corpus.places import ImagePlaces, listing_reject
from fo1_data.errors import CorpusError
from fo1_data.storage.addresses import base_name, join, parent
from fo1_data.storage.streams import one_line, read_whole
from schemas.corpus import CorpusImage, CorpusRegion
from schemas.images import Reject

_NOT_KEPT = ("bbox", "segmentation", "category_id", "image_id", "area", "keypoints", "num_keypoints")
_TEXTS = ("caption", "detailed_caption", "text")


def read_coco(address: str) -> Iterator[CorpusImage | Reject]:
    """The images of a COCO file with boxes, labels and captions; also reads a JSON list of records."""
    try:
        document = json.loads(read_whole(address))
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{address} is not JSON: {one_line(error)}") from error
    if isinstance(document, list):
        places = places_beside(address)
        if document and is_benchmark_record(document[0]):
            records = ((f"{address}#{number}", record) for number, record in enumerate(document))
            yield from read_records(records, places)
            return
        for number, record in enumerate(document):
            yield entry_of_record(record, f"{address}#{number}", places)
        return
    if not isinstance(document, dict) or not isinstance(document.get("images"), list):
        raise CorpusError(
            f"{address} is not a COCO file: looked for the keys images, annotations and categories"
        )
    if is_referring_coco(document):
        records = ((f"{address}#{place}", record) for place, record in referring_records(document))
        yield from read_records(records, ImagePlaces([*_roots(address), *_refcoco_roots(address)]))
        return
    yield from _images(document, address)


def _images(document: dict[str, Any], address: str) -> Iterator[CorpusImage | Reject]:
    names = {id_of(item.get("id")): text_of(item.get("name")) for item in objects_of(document, "categories")}
    by_image: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for annotation in objects_of(document, "annotations"):
        by_image[id_of(annotation.get("image_id"))].append(annotation)
    has_boxes = any("bbox" in item for group in by_image.values() for item in group) or not by_image
    places = ImagePlaces(_roots(address))
    for number, image in enumerate(document["images"]):
        where = f"{address}#images/{number}"
        if not isinstance(image, dict) or not isinstance(image.get("file_name"), str):
            yield listing_reject(where, "no_image", f"{where} has no file_name")
            continue
        annotations = by_image.pop(id_of(image.get("id")), [])
        try:
            yield _entry(image, annotations, names, places, has_boxes)
        except (ValidationError, ValueError, TypeError, OSError) as error:
            yield listing_reject(where, "bad_record", f"{where}: {validation_text(error)}")
    for image_id, orphans in by_image.items():
        where = f"{address}#annotations"
        text = f"{len(orphans)} annotations have image id {image_id!r}, which is not listed"
        yield listing_reject(where, "unknown_image", text)


def _entry(
    image: dict[str, Any],
    annotations: list[dict[str, Any]],
    names: dict[Any, str | None],
    places: ImagePlaces,
    has_boxes: bool,
) -> CorpusImage:
    meta = {k: v for k, v in image.items() if k not in ("id", "file_name", "width", "height")}
    captions = [str(item["caption"]) for item in annotations if "bbox" not in item and item.get("caption")]
    if captions:
        meta["captions"] = captions
    boxed = [item for item in annotations if "bbox" in item]
    keep_region_meta(
        meta, [{k: v for k, v in _other_fields(item).items() if v not in (None, {}, [])} for item in boxed]
    )
    return CorpusImage(
        uri=places.find(image["file_name"]),
        id=None if image.get("id") is None else str(image["id"]),
        width=whole_number(image.get("width")),
        height=whole_number(image.get("height")),
        regions=[_region(item, names) for item in boxed] if has_boxes else None,
        caption=captions[0] if captions else None,
        meta=meta or None,
    )


def _other_fields(annotation: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in annotation.items() if k not in (*_NOT_KEPT, *_TEXTS)}


def _region(annotation: dict[str, Any], names: dict[Any, str | None]) -> CorpusRegion:
    left, top, width, height = box_of(annotation["bbox"])
    category = annotation.get("category_id")
    label = names.get(id_of(category)) or text_of(category)
    texts: dict[str, Any] = {key: text_of(annotation.get(key)) for key in _TEXTS}
    return CorpusRegion(box_xyxy=(left, top, left + width, top + height), label=label, **texts)


def _refcoco_roots(address: str) -> list[str]:
    """Folders of the images of RefCOCO, which come from COCO's training set of 2014."""
    folder_of_file = parent(address)
    return [
        join(folder, name)
        for folder in (folder_of_file, parent(folder_of_file))
        for name in ("train2014", "images/train2014")
    ]


def _roots(address: str) -> list[str]:
    folder_of_file = parent(address)
    above = parent(folder_of_file)
    split = base_name(address).rsplit(".", 1)[0].rpartition("_")[2]
    return [
        join(folder, name)
        for folder in (folder_of_file, above)
        for name in (".", "images", split, f"images/{split}")
    ]
