"""Images as the report shows them: a thumbnail as a data URI, and its boxes in the image's own pixels."""

import base64
import io
from dataclasses import dataclass

from PIL import Image

from fo1_data.corpus.images import InputLimits, decode_rgb
from fo1_data.dataset.pixels import image_bytes
from fo1_data.errors import DatasetError, InputReject
from fo1_data.evaluation.faults import Faults
from schemas.images import ImageRow
from schemas.regions import Region

THUMBNAIL_PX = 720
NUM_COLOURS = 8
# In percent of the image: boxes with a shorter side have their number outside, if there is this much room.
_SMALL_PCT, _BADGE_PCT = 14, 5


@dataclass(frozen=True)
class ShownRegion:
    """A region as the page draws it; corner and size in pixels of the image, badge place in percent.

    `badge` is where its number goes: in the corner, or outside of a box that it would cover.
    """

    region: Region
    colour: int
    x: float
    y: float
    width: float
    height: float
    left_pct: float
    top_pct: float
    badge: str

    @property
    def corpus_says(self) -> str:
        """The corpus' own label and caption, where they are not what the caption says already."""
        own = dict.fromkeys(text for text in (self.region.source_label, self.region.source_caption) if text)
        said = (self.region.brief_caption or "").casefold()
        return ", ".join(text for text in own if text.casefold() != said)


@dataclass(frozen=True)
class ShownImage:
    """An image of the page. `picture` is a data URI, None where there are no pixels (`missing` says why).

    `faults`: what gold says otherwise; nothing where there is no gold.
    """

    row: ImageRow
    picture: str | None
    missing: str | None
    regions: list[ShownRegion]
    numbers: dict[str, int]
    haystack: str
    faults: Faults

    @property
    def back_to_front(self) -> list[ShownRegion]:
        """The regions, small ones last: they lie on top and can be pointed at."""
        return sorted(self.regions, key=lambda shown: -shown.width * shown.height)


def show_image(row: ImageRow, limits: InputLimits, faults: Faults | None = None) -> ShownImage:
    """Prepare one row for the page."""
    picture = missing = None
    try:
        picture = _thumbnail(image_bytes(row, limits), limits)
    except (DatasetError, InputReject) as error:
        missing = str(error)
    regions = [_show_region(row, region) for region in row.regions]
    return ShownImage(
        row=row,
        picture=picture,
        missing=missing,
        regions=regions,
        numbers={region.region_id: region.index for region in row.regions},
        haystack=_haystack(row),
        faults=faults or Faults(),
    )


def _show_region(row: ImageRow, region: Region) -> ShownRegion:
    x_min, y_min, x_max, y_max = region.box_xyxy
    left_pct = round(100 * x_min / max(1, row.width), 3)
    top_pct = round(100 * y_min / max(1, row.height), 3)
    sides_pct = (100 * (x_max - x_min) / max(1, row.width), 100 * (y_max - y_min) / max(1, row.height))
    badge = "in" if min(sides_pct) > _SMALL_PCT else "above" if top_pct > _BADGE_PCT else "beside"
    return ShownRegion(
        region=region,
        colour=region.index % NUM_COLOURS,
        x=round(x_min, 2),
        y=round(y_min, 2),
        width=round(x_max - x_min, 2),
        height=round(y_max - y_min, 2),
        left_pct=left_pct,
        top_pct=top_pct,
        badge=badge if badge != "beside" or left_pct > _BADGE_PCT else "in",
    )


def _thumbnail(data: bytes, limits: InputLimits) -> str:
    """A JPEG of at most `THUMBNAIL_PX` a side, as a data URI; upright."""
    rgb = decode_rgb(data, limits).rgb
    rgb.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    rgb.save(buffer, format="JPEG", quality=82, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _haystack(row: ImageRow) -> str:
    """What the page's filter looks in: captions, phrases, labels and addresses, in lower case."""
    texts: list[str | None] = [row.uri, row.caption, row.image_id, row.split]
    for region in row.regions:
        texts += [region.brief_caption, region.detailed_caption, region.text, region.source_label]
        texts.append(region.source_caption)
    texts += [part.phrase for part in row.groundings] + [part.phrase for part in row.counts]
    texts += [text for answer in row.answers for text in (answer.question, answer.answer)]
    return " ".join(text for text in texts if text).lower()
