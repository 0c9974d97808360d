"""A sample as a page draws it: boxes, numbers and captions, in pixels of the EXIF-oriented image. Pure."""

from dataclasses import dataclass
from typing import Any

from schemas.labels import Source

NUM_COLOURS = 8
# Number of boxes drawn on an image in the gallery. The page of the image shows all.
GALLERY_BOXES = 40


@dataclass(frozen=True)
class DrawnRegion:
    """A region: corner and size in pixels, the text to show, and its document."""

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
    """A sample. `unit`: height of the numbers in pixels of the image, so that they are readable."""

    document: dict[str, Any]
    image: str
    width: int
    height: int
    unit: float
    regions: list[DrawnRegion]
    hidden: int

    @property
    def back_to_front(self) -> list[DrawnRegion]:
        """The regions with small boxes last, so that these are on top and can be pointed at."""
        return sorted(self.regions, key=lambda drawn: -drawn.width * drawn.height)


def draw_sample(document: dict[str, Any], image: str, max_boxes: int | None = GALLERY_BOXES) -> DrawnSample:
    """Return the sample of a document. `image`: address of its image. `max_boxes` None: draw all boxes."""
    width, height = max(1, document["width"]), max(1, document["height"])
    regions = [_region(region, width, height) for region in document["regions"]]
    shown = regions if max_boxes is None else regions[:max_boxes]
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
        text=region_text(region),
        region=region,
    )


def region_text(region: dict[str, Any]) -> str:
    """Return the first text that a region has, short ones first."""
    for field in ("brief_caption", "text", "source_label", "detailed_caption", "source_caption"):
        if region.get(field):
            is_detected = field == "source_label" and region.get("box_source") == Source.MODEL
            return f"detector: {region[field]}" if is_detected else str(region[field])
    return "no text"
