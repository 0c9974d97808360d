"""LabelMe: a JSON file for each image, with the shapes drawn in it.

Boxes: pixels of the image as LabelMe shows it, whose size the file declares. A polygon, circle, line or mask
gives the box around it; a point gives none. The points of a mask are its first and its last pixel, which the
box holds. `description` of a shape is its caption. The picture that the file may hold in `imageData` is not
read; the image is the file named by `imagePath`.
"""

import math
from collections.abc import Iterator
from typing import Any

from fo1_data.corpus.forms.annotated_image import AnnotatedImage, items_of_image
from fo1_data.corpus.forms.image_lookup import ImageLookup
from fo1_data.corpus.forms.record_fields import text_of
from fo1_data.corpus.forms.shapes import BoxXyxy, box_around, box_of_ellipse, numbers
from fo1_data.corpus.listing import Item

# Fields of a shape that are read, or (`mask`) hold a picture; all others are kept in `meta`.
_READ = ("label", "description", "points", "shape_type", "mask")


def is_labelme(document: Any) -> bool:
    """Whether a JSON document is LabelMe's."""
    return isinstance(document, dict) and "imagePath" in document and isinstance(document.get("shapes"), list)


def read_labelme(document: dict[str, Any], address: str, lookup: ImageLookup) -> Iterator[Item]:
    """The image of a LabelMe file with its shapes."""
    image = AnnotatedImage(
        where=address,
        names=[str(document["imagePath"])],
        width=document.get("imageWidth"),
        height=document.get("imageHeight"),
        regions=[],
        meta={"flags": document["flags"]} if document.get("flags") else {},
    )
    for item in document["shapes"]:
        shape = item if isinstance(item, dict) else {}
        kind = str(shape.get("shape_type") or "polygon")
        texts = {"label": text_of(shape.get("label")), "caption": text_of(shape.get("description"))}
        other = {key: value for key, value in shape.items() if key not in _READ}
        image.add_shape(_box(shape.get("points"), kind), kind, texts, {"shape": kind, **other})
    yield from items_of_image(address, image, lookup, len(document["shapes"]))


def _box(points: Any, kind: str) -> BoxXyxy | None:
    if kind == "mask":
        pixels = [numbers(point) for point in points] if isinstance(points, list) else []
        if not pixels or any(pixel is None or len(pixel) != 2 for pixel in pixels):
            return None
        return box_around((x + end, y + end) for x, y in filter(None, pixels) for end in (0, 1))
    if kind != "circle":
        return box_around(points if isinstance(points, list) else ())
    pairs = [numbers(point) for point in points] if isinstance(points, list) else []
    if len(pairs) != 2 or any(pair is None or len(pair) != 2 for pair in pairs):
        return None
    (x, y), edge = pairs  # type: ignore[misc]
    radius = math.dist((x, y), edge)  # type: ignore[arg-type]
    return box_of_ellipse((x, y), (radius, radius)) if radius else None
