"""CVAT for images 1.1: one XML file with an `image` element for each image, and its shapes.

Boxes: pixels of the declared size. A turned box gives the upright box around it, with its `rotation` in
`meta`; a polygon, line, ellipse, mask, cuboid or skeleton the box around it; a single point none. Attributes
named `caption`, `description`, `text` or `transcription` are taken as such, other ones are kept in `meta`,
as are `tag` elements of the image. The file is read as a stream. Tracks of videos are not read.
"""

from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

from fo1_data.corpus.forms.annotated_image import AnnotatedImage, items_of_image
from fo1_data.corpus.forms.image_lookup import ImageLookup
from fo1_data.corpus.forms.record_fields import text_of
from fo1_data.corpus.forms.shapes import (
    BoxXyxy,
    box_around,
    box_of_ellipse,
    box_of_xywh,
    numbers,
    texts_of_attributes,
    turned_box,
)
from fo1_data.corpus.listing import Found, Item, Refused
from fo1_data.corpus.places import listing_reject
from fo1_data.plurals import counted
from fo1_data.storage.streams import one_line, open_stream
from schemas.sources import ContentKind

_SHAPES = ("box", "polygon", "polyline", "points", "ellipse", "mask", "cuboid", "skeleton")
_META = ("occluded", "z_order", "rotation", "group_id", "source")


def read_cvat(address: str, lookup: ImageLookup) -> Iterator[Item]:
    """The images of a CVAT file, in its order; tracks, and a fault in the file, are refused."""
    number = tracks = 0
    try:
        with open_stream(address) as stream:
            for _, element in ElementTree.iterparse(stream):
                if element.tag == "image":
                    yield from _items(
                        address, f"{address}#image/{element.get('id') or number}", element, lookup
                    )
                    number += 1
                elif element.tag == "track":
                    tracks += len(element)
                if element.tag in ("image", "track", "meta"):
                    element.clear()
    except ElementTree.ParseError as error:
        message = f"{address} is not XML from image {number} on: {one_line(error)}"
        yield Refused(address, {}, listing_reject(address, "bad_xml", message))
    if tracks:
        counts = {ContentKind.BOXES: tracks}
        yield Found(address, counts)
        boxes = counted(tracks, "box", "boxes")
        message = f"{address}: {boxes} of tracks in videos not read; export them as images"
        yield Refused(address, counts, listing_reject(address, "tracks_not_read", message))


def _items(address: str, where: str, element: ElementTree.Element, lookup: ImageLookup) -> Iterator[Item]:
    name = element.get("name") or ""
    subset = element.get("subset")
    tags = [tag.get("label") for tag in element.findall("tag")]
    image = AnnotatedImage(
        where=where,
        names=[f"{subset}/{name}", name] if subset else [name],
        id=element.get("id"),
        width=element.get("width"),
        height=element.get("height"),
        regions=[],
        meta={key: value for key, value in (("subset", subset), ("tags", tags)) if value},
    )
    shapes = [child for child in element if child.tag in _SHAPES]
    for shape in shapes:
        attributes = {str(item.get("name")): item.text for item in shape.findall("attribute")}
        label = text_of(shape.get("label"))
        texts, other = texts_of_attributes({**attributes, "label": label} if label else attributes)
        meta: dict[str, Any] = {key: value for key in _META if (value := shape.get(key)) not in (None, "0")}
        image.add_shape(_box(shape), shape.tag, texts, {"shape": shape.tag, **meta, "attributes": other})
    yield from items_of_image(address, image, lookup, len(shapes))


def _box(shape: ElementTree.Element) -> BoxXyxy | None:
    if shape.tag == "box":
        corners = _numbers(shape, ("xtl", "ytl", "xbr", "ybr"))
        angle = _numbers(shape, ("rotation",)) or [0.0]
        if corners is None:
            return None
        left, top, right, bottom = corners
        return turned_box((left, top, right, bottom), angle[0], ((left + right) / 2, (top + bottom) / 2))
    if shape.tag == "ellipse":
        values = _numbers(shape, ("cx", "cy", "rx", "ry"))
        angle = _numbers(shape, ("rotation",)) or [0.0]
        return box_of_ellipse((values[0], values[1]), (values[2], values[3]), angle[0]) if values else None
    if shape.tag == "mask":
        return box_of_xywh([shape.get(key) for key in ("left", "top", "width", "height")])
    if shape.tag == "cuboid":
        corner_names = [name.removeprefix("x") for name in shape.attrib if name.startswith("x")]
        return box_around((shape.get(f"x{name}"), shape.get(f"y{name}")) for name in corner_names)
    parts = [shape] if shape.tag != "skeleton" else shape.findall("points")
    points = [point for part in parts for point in (part.get("points") or "").split(";") if point]
    return box_around(point.split(",") for point in points)


def _numbers(shape: ElementTree.Element, names: tuple[str, ...]) -> list[float] | None:
    return numbers(shape.get(name) for name in names)
