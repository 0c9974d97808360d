"""Datumaro JSON: `items` with their annotations, and `categories` with the names of the labels.

Boxes: pixels of the declared size. A polygon, line or mask gives the box around it; a point has none and is
refused; labels of the whole image are kept in `meta`. Captions are those of the image.
"""

from collections.abc import Iterator
from typing import Any

from fo1_data.corpus.forms.annotated_image import AnnotatedImage, items_of_image
from fo1_data.corpus.forms.image_lookup import ImageLookup
from fo1_data.corpus.forms.masks import box_of_segmentation
from fo1_data.corpus.forms.record_fields import objects_of, text_of
from fo1_data.corpus.forms.shapes import BoxXyxy, box_of_flat_points, box_of_xywh, numbers
from fo1_data.corpus.listing import Item
from fo1_data.storage.addresses import base_name

_IMAGE_TYPES = ("label", "caption")
# Fields of a shape that are read, or can be made of what is; all others are kept in `meta`.
_READ = ("id", "type", "label_id", "points", "bbox", "rle", "area")


def is_datumaro(document: Any) -> bool:
    """Whether a JSON document is Datumaro's."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("items"), list)
        and isinstance(document.get("categories"), dict)
    )


def read_datumaro(document: dict[str, Any], address: str, lookup: ImageLookup) -> Iterator[Item]:
    """The images of a file, in its order."""
    of_labels = document["categories"].get("label")
    labels = objects_of(of_labels if isinstance(of_labels, dict) else {}, "labels")
    names = [text_of(label.get("name")) for label in labels]
    subset = base_name(address).rpartition(".")[0]
    for number, item in enumerate(objects_of(document, "items")):
        yield from _items(address, f"{address}#items/{number}", item, names, subset, lookup)


def _items(
    address: str,
    where: str,
    item: dict[str, Any],
    names: list[str | None],
    subset: str,
    lookup: ImageLookup,
) -> Iterator[Item]:
    media: dict[str, Any] = next(
        (item[key] for key in ("image", "media") if isinstance(item.get(key), dict)), {}
    )
    path, item_id = text_of(media.get("path")), text_of(item.get("id"))
    size = numbers(media.get("size") or ()) or []
    image = AnnotatedImage(
        where=where,
        names=[f"{subset}/{name}" for name in (path, item_id) if name],
        id=item_id,
        width=size[1] if len(size) == 2 else None,
        height=size[0] if len(size) == 2 else None,
        regions=[],
        meta={key: item[source] for key, source in (("attributes", "attr"),) if item.get(source)},
    )
    parts = item.get("annotations")
    annotations = (
        [part if isinstance(part, dict) else {} for part in parts] if isinstance(parts, list) else []
    )
    if parts and not isinstance(parts, list):
        image.meta["annotations"] = parts
    shapes = [part for part in annotations if part.get("type") not in _IMAGE_TYPES]
    image.captions = [str(part["caption"]) for part in annotations if part.get("caption")]
    silent = [part for part in annotations if part.get("type") == "caption" and not part.get("caption")]
    if silent:
        image.meta["annotations"] = silent
    tags = [_label(part, names) for part in annotations if part.get("type") == "label"]
    if tags:
        image.meta["labels"] = tags
    for part in shapes:
        kind = str(part.get("type"))
        meta = {key: value for key, value in part.items() if key not in _READ}
        image.add_shape(_box(part), kind, {"label": _label(part, names)}, {"shape": kind, **meta})
    yield from items_of_image(address, image, lookup, len(shapes))


def _label(part: dict[str, Any], names: list[str | None]) -> str | None:
    index = part.get("label_id")
    if isinstance(index, int) and 0 <= index < len(names):
        return names[index]
    return text_of(index)


def _box(part: dict[str, Any]) -> BoxXyxy | None:
    if part.get("type") in ("polygon", "polyline"):
        return box_of_flat_points(part.get("points"))
    if part.get("type") == "mask":
        return box_of_segmentation(part.get("rle"))
    return box_of_xywh(part["bbox"]) if part.get("bbox") is not None else None
