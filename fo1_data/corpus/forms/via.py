"""VGG Image Annotator (VIA 1 and 2): a project or its JSON export, and its CSV export.

Boxes: pixels; no size of the image is declared. Every shape gives the box around it, except a point. The
label is the region's attribute of a usual name (`label`, `class`, `name`, `type`, ...) or its only one;
`caption`, `description`, `text`, `transcription` are taken as such; other attributes are kept in `meta`.
"""

import csv
import json
from collections.abc import Iterable, Iterator
from typing import Any

from fo1_data.corpus.forms.annotated_image import AnnotatedImage, items_of_image
from fo1_data.corpus.forms.image_lookup import ImageLookup
from fo1_data.corpus.forms.shapes import (
    BoxXyxy,
    attribute_text,
    box_around,
    box_of_ellipse,
    box_of_xywh,
    numbers,
    texts_of_attributes,
)
from fo1_data.corpus.listing import Item, Refused
from fo1_data.corpus.places import listing_reject

CSV_COLUMNS = ("filename", "region_shape_attributes", "region_attributes")


def is_via(document: Any) -> bool:
    """Whether a JSON document is a VIA project or a VIA export of annotations."""
    images = _images(document)
    first = next(iter(images.values()), None) if isinstance(images, dict) else None
    return isinstance(first, dict) and "filename" in first and "regions" in first


def _images(document: Any) -> Any:
    return document.get("_via_img_metadata", document) if isinstance(document, dict) else None


def read_via(document: dict[str, Any], address: str, lookup: ImageLookup) -> Iterator[Item]:
    """The images of a project or export, in its order."""
    for key, record in _images(document).items():
        where = f"{address}#{key}"
        if not isinstance(record, dict) or not isinstance(record.get("filename"), str):
            yield Refused(address, {}, listing_reject(where, "bad_record", f"{where} has no filename"))
            continue
        regions = record.get("regions") or []
        shapes = list(regions.values()) if isinstance(regions, dict) else regions
        shapes = shapes if isinstance(shapes, list) else [shapes]
        yield from _items(address, where, record["filename"], record.get("file_attributes"), shapes, lookup)


def read_via_csv(lines: Iterable[str], address: str, lookup: ImageLookup) -> Iterator[Item]:
    """The images of a CSV export: a line for each region, or one line for an image without regions."""
    lines = (line.removeprefix("#") if number == 0 else line for number, line in enumerate(lines))
    shapes: dict[str, list[Any]] = {}
    attributes: dict[str, Any] = {}
    for row in csv.DictReader(lines):
        name = row.get("filename") or ""
        rows = shapes.setdefault(name, [])
        attributes.setdefault(name, _parse(row.get("file_attributes")))
        shape = _parse(row.get("region_shape_attributes"))
        if shape != {}:
            rows.append(
                {"shape_attributes": shape, "region_attributes": _parse(row.get("region_attributes"))}
            )
    for name, rows in shapes.items():
        yield from _items(address, f"{address}#{name}", name, attributes[name], rows, lookup)


def _parse(text: str | None) -> Any:
    try:
        return json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return text


def _items(
    address: str, where: str, name: str, attributes: Any, shapes: list[Any], lookup: ImageLookup
) -> Iterator[Item]:
    attributes = dict(attributes) if isinstance(attributes, dict) else {}
    caption = attribute_text(attributes.pop("caption", None))
    meta = {key: value for key, value in attributes.items() if value not in (None, "", {})}
    image = AnnotatedImage(where, [name], regions=[], captions=[caption] if caption else [], meta=meta)
    for shape in shapes:
        shape = shape if isinstance(shape, dict) else {}
        geometry = shape.get("shape_attributes")
        geometry = geometry if isinstance(geometry, dict) else {}
        described = shape.get("region_attributes")
        texts, other = texts_of_attributes(described if isinstance(described, dict) else {})
        is_read = isinstance(described, dict) or described is None
        read = ("shape_attributes", "region_attributes") if is_read else ("shape_attributes",)
        other |= {key: value for key, value in shape.items() if key not in read}
        kind = str(geometry.get("name"))
        image.add_shape(_box(kind, geometry), kind, texts, {"shape": kind, **other})
    yield from items_of_image(address, image, lookup, len(shapes))


def _box(kind: str, geometry: dict[str, Any]) -> BoxXyxy | None:
    if kind == "rect":
        return box_of_xywh([geometry.get(key) for key in ("x", "y", "width", "height")])
    if kind in ("polygon", "polyline"):
        xs, ys = geometry.get("all_points_x"), geometry.get("all_points_y")
        same = isinstance(xs, list) and isinstance(ys, list) and len(xs) == len(ys)
        return box_around(zip(xs, ys, strict=True)) if same else None  # type: ignore[arg-type]
    radii = ("r", "r") if kind == "circle" else ("rx", "ry")
    values = numbers(geometry.get(key) for key in ("cx", "cy", *radii))
    angle = numbers([geometry.get("theta") or 0])
    if kind not in ("circle", "ellipse") or values is None or angle is None:
        return None
    # VIA keeps `theta` in radians.
    return box_of_ellipse((values[0], values[1]), (values[2], values[3]), angle[0] * 57.29577951308232)
