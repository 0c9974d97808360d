"""A sample as a page draws it: boxes, numbers and captions in the pixels of the upright image. Pure."""

from dataclasses import dataclass
from typing import Any

NUM_COLOURS = 8
# Boxes of a picture as it is shown in the gallery; all are shown when it is opened.
GALLERY_BOXES = 40


@dataclass(frozen=True)
class DrawnRegion:
    """A region: corner and size in pixels, the text to show, and what was said of it."""

    number: int
    colour: int
    x: float
    y: float
    width: float
    height: float
    text: str
    region: dict[str, Any]


@dataclass(frozen=True)
class DrawnSample:
    """A sample: `unit` is the size of a letter in pixels of the image, so that numbers can be read."""

    document: dict[str, Any]
    image: str
    width: int
    height: int
    unit: float
    regions: list[DrawnRegion]
    hidden: int

    @property
    def back_to_front(self) -> list[DrawnRegion]:
        """Small boxes last: they lie on top and can be pointed at."""
        return sorted(self.regions, key=lambda drawn: -drawn.width * drawn.height)


def draw(document: dict[str, Any], image: str, most: int | None = GALLERY_BOXES) -> DrawnSample:
    """The sample of a document, with the address of its picture."""
    width, height = max(1, document["width"]), max(1, document["height"])
    regions = [_region(region, width, height) for region in document["regions"]]
    shown = regions if most is None else regions[:most]
    unit = max(width / 26, height / 20, 1.0)
    return DrawnSample(document, image, width, height, unit, shown, len(regions) - len(shown))


def _region(region: dict[str, Any], width: int, height: int) -> DrawnRegion:
    x_min, y_min, x_max, y_max = region["box_xyxy"]
    return DrawnRegion(
        number=region["index"],
        colour=region["index"] % NUM_COLOURS,
        x=x_min,
        y=y_min,
        width=max(x_max - x_min, 0.0),
        height=max(y_max - y_min, 0.0),
        text=said_of(region),
        region=region,
    )


def said_of(region: dict[str, Any]) -> str:
    """The shortest telling text of a region."""
    for field in ("brief_caption", "text", "source_label", "detailed_caption", "source_caption"):
        if region.get(field):
            return str(region[field])
    return "nothing said"
