"""The shapes of CVAT's XML, as the upright box around each: of images and of tracks alike.

Pixels of the declared size. A shape without an extent (a point) has no box: None.
"""

from xml.etree import ElementTree

from fo1_data.corpus.forms.shapes import (
    BoxXyxy,
    box_around,
    box_of_ellipse,
    box_of_xywh,
    numbers,
    turned_box,
)

SHAPES = ("box", "polygon", "polyline", "points", "ellipse", "mask", "cuboid", "skeleton")


def box_of_shape(shape: ElementTree.Element) -> BoxXyxy | None:
    """The box around a shape, turned as its `rotation` says."""
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
