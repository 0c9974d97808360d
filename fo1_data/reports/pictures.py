"""Images as the report page shows them: a thumbnail as a data URI, and boxes in pixels of the full image."""

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
# In percent of the image. A box with a side below `_SMALL_PCT` gets its number outside of it, if there is
# room of `_BADGE_PCT` above or beside it.
_SMALL_PCT, _BADGE_PCT = 14, 5


@dataclass(frozen=True)
class PictureBox:
    """A region as the page draws it: corner and size in pixels of the image, badge position in percent.

    `badge` says where its number goes: "in" the corner of the box, or "above" or "beside" a small box.
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
    def corpus_texts(self) -> str:
        """The corpus' own label and caption, unless they equal the brief caption."""
        own = dict.fromkeys(text for text in (self.region.source_label, self.region.source_caption) if text)
        caption = (self.region.brief_caption or "").casefold()
        return ", ".join(text for text in own if text.casefold() != caption)


@dataclass(frozen=True)
class Picture:
    """An image of the page.

    `thumbnail`: a data URI, None if the pixels cannot be read (`missing` is the reason). `numbers`: region
    indices by region id. `search_text`: what the page's filter searches. `faults`: the mistakes against
    gold, empty without gold.
    """

    row: ImageRow
    thumbnail: str | None
    missing: str | None
    boxes: list[PictureBox]
    numbers: dict[str, int]
    search_text: str
    faults: Faults

    @property
    def back_to_front(self) -> list[PictureBox]:
        """The boxes in drawing order: small ones last, so that they lie on top and can be pointed at."""
        return sorted(self.boxes, key=lambda box: -box.width * box.height)


def picture_of(row: ImageRow, limits: InputLimits, faults: Faults | None = None) -> Picture:
    """Prepare one row for the page."""
    thumbnail = missing = None
    try:
        thumbnail = _thumbnail(image_bytes(row, limits), limits)
    except (DatasetError, InputReject) as error:
        missing = str(error)
    return Picture(
        row=row,
        thumbnail=thumbnail,
        missing=missing,
        boxes=[_picture_box(row, region) for region in row.regions],
        numbers={region.region_id: region.index for region in row.regions},
        search_text=_search_text(row),
        faults=faults or Faults(),
    )


def _picture_box(row: ImageRow, region: Region) -> PictureBox:
    x_min, y_min, x_max, y_max = region.box_xyxy
    left_pct = round(100 * x_min / max(1, row.width), 3)
    top_pct = round(100 * y_min / max(1, row.height), 3)
    sides_pct = (100 * (x_max - x_min) / max(1, row.width), 100 * (y_max - y_min) / max(1, row.height))
    badge = "in" if min(sides_pct) > _SMALL_PCT else "above" if top_pct > _BADGE_PCT else "beside"
    return PictureBox(
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
    """An upright JPEG with a long edge of at most `THUMBNAIL_PX`, as a data URI."""
    rgb = decode_rgb(data, limits).rgb
    rgb.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    rgb.save(buffer, format="JPEG", quality=82, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _search_text(row: ImageRow) -> str:
    """Captions, phrases, answers, labels and addresses of a row, in lower case."""
    texts: list[str | None] = [row.uri, row.caption, row.image_id, row.split]
    for region in row.regions:
        texts += [region.brief_caption, region.detailed_caption, region.text, region.source_label]
        texts.append(region.source_caption)
    texts += [part.phrase for part in row.groundings] + [part.phrase for part in row.counts]
    texts += [text for answer in row.answers for text in (answer.question, answer.answer)]
    return " ".join(text for text in texts if text).lower()
