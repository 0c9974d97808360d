"""Images as the report page shows them: a thumbnail as a data URI, boxes in pixels of the full image, and the
texts in the order of the page.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.pixels import decode_row, image_bytes
from fo1_data.dataset.row_windows import open_row
from fo1_data.errors import DatasetError, InputReject
from fo1_data.evaluation.faults import Faults
from fo1_data.masks import decode_mask, outline_path
from fo1_data.plurals import counted
from fo1_data.reports.layout import CardLayout, CardTexts, lay_out
from schemas.images import ImageRow
from schemas.regions import Region

THUMBNAIL_PX = 720
# Of an image with more regions, so many are drawn.
MOST_REGIONS = 500
# Masks are outlined at so many pixels of their long edge.
_OUTLINE_PX = 480
NUM_COLOURS = 8
# In percent of the image. A box with a side below `_SMALL_PCT` gets its number outside of it, if there is
# room of `_BADGE_PCT` above or beside it.
_SMALL_PCT, _BADGE_PCT = 14, 5


@dataclass(frozen=True)
class PictureBox:
    """A region as the page draws it: corner and size in pixels of the image, badge position in percent.

    `badge` says where its number goes: "in" the corner of the box, or "above" or "beside" a small box.
    `outline`: of its mask, as the data of an SVG path; empty without a mask.
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
    outline: str

    @property
    def source_texts(self) -> str:
        """The corpus' own label and caption, unless they equal the brief caption, or the detector's name."""
        if self.region.detector_label:
            return f"detector: {self.region.detector_label}"
        own = dict.fromkeys(text for text in (self.region.corpus_label, self.region.source_caption) if text)
        caption = (self.region.brief_caption or "").casefold()
        texts = ", ".join(text for text in own if text.casefold() != caption)
        return f"corpus: {texts}" if texts else ""

    @property
    def short_text(self) -> str:
        """What the page shows first of the region."""
        region = self.region
        return region.brief_caption or ("" if region.detailed_caption or region.text else "no label")


@dataclass(frozen=True)
class CardPhrase:
    """A phrase and the indices of the drawn regions that it names. `num_named`: how many it names in all;
    `gold`: gold's regions, if it is wrong."""

    text: str
    kind: str
    region_indices: list[int]
    num_named: int
    gold: str | None

    @property
    def named(self) -> str:
        """The regions in a few characters."""
        if self.num_named > 8:
            return counted(self.num_named, "region")
        return " ".join(map(str, self.region_indices)) or (
            counted(self.num_named, "region") if self.num_named else "absent"
        )


@dataclass(frozen=True)
class QuestionAnswers:
    """A question and its answers: (region index or None for the whole image, answer, reasoning)."""

    question: str
    answers: list[tuple[int | None, str, str | None]]


@dataclass(frozen=True)
class Picture:
    """An image of the page.

    `thumbnail`: a data URI, None if the pixels cannot be read (`missing` is the reason). `numbers`: region
    indices by region id. `phrases`: those that gold calls wrong first, absent ones last. `search_text`: what
    the page's filter searches. `faults`: the mistakes against gold, empty without gold.
    """

    row: ImageRow
    thumbnail: str | None
    missing: str | None
    boxes: list[PictureBox]
    numbers: dict[str, int]
    phrases: list[CardPhrase]
    answers: list[QuestionAnswers]
    layout: CardLayout
    search_text: str
    faults: Faults

    @property
    def mistakes(self) -> str:
        """Whether there are mistakes against gold: "some" or "none"."""
        return "some" if len(self.faults) else "none"

    @property
    def back_to_front(self) -> list[PictureBox]:
        """The boxes in drawing order: small ones last, so that they lie on top and can be pointed at."""
        return sorted(self.boxes, key=lambda box: -box.width * box.height)


def picture_of(row: ImageRow, limits: InputLimits, faults: Faults | None = None) -> Picture:
    """Prepare one row for the page."""
    thumbnail = missing = None
    try:
        thumbnail = _thumbnail(_pixels(row, limits))
    except (DatasetError, InputReject) as error:
        missing = str(error)
    faults = faults or Faults()
    regions = _drawn_regions(row, faults)
    boxes = [_picture_box(row, region) for region in regions]
    numbers = {region.region_id: region.index for region in regions}
    phrases = _phrases(row, numbers, faults)
    return Picture(
        row=row,
        thumbnail=thumbnail,
        missing=missing,
        boxes=boxes,
        numbers=numbers,
        phrases=phrases,
        answers=_answers(row, numbers),
        layout=lay_out(
            (max(1, row.width), max(1, row.height)),
            CardTexts(
                row.caption or "",
                [f"{phrase.text}{phrase.named}{phrase.gold or ''}" for phrase in phrases],
                [_region_texts(box, faults) for box in boxes],
                row.decision is not None,
            ),
        ),
        search_text=_search_text(row, regions),
        faults=faults,
    )


def _pixels(row: ImageRow, limits: InputLimits) -> Image.Image:
    """The picture of a row, at least of the size of a thumbnail. One that is too large to decode is read by
    windows."""
    if row.image.bytes is not None or row.width * row.height <= limits.max_pixels:
        return decode_row(row, image_bytes(row, limits), limits).rgb
    with open_row(row, limits) as windows:
        return windows.read((0, 0, row.width, row.height), THUMBNAIL_PX).rgb


def _drawn_regions(row: ImageRow, faults: Faults) -> list[Region]:
    """The regions, in order: all, or of too many those with mistakes and others evenly spread over them."""
    if len(row.regions) <= MOST_REGIONS:
        return row.regions
    step = len(row.regions) / MOST_REGIONS
    spread = {int(place * step) for place in range(MOST_REGIONS)}
    places = sorted(range(len(row.regions)), key=lambda i: (i not in faults.regions, i not in spread, i))
    return [row.regions[place] for place in sorted(places[:MOST_REGIONS])]


def _phrases(row: ImageRow, numbers: dict[str, int], faults: Faults) -> list[CardPhrase]:
    """Each phrase once for the same kind and regions: a caption may name a thing twice."""
    phrases: list[CardPhrase] = []
    for part in row.groundings:
        phrase = CardPhrase(
            part.phrase,
            part.kind.value.replace("_", " "),
            [numbers[region_id] for region_id in part.region_ids if region_id in numbers],
            len(part.region_ids),
            faults.phrases.get((part.kind, part.phrase)),
        )
        if phrase not in phrases:
            phrases.append(phrase)
    return sorted(phrases, key=lambda phrase: (phrase.gold is None, not phrase.num_named))


def _answers(row: ImageRow, numbers: dict[str, int]) -> list[QuestionAnswers]:
    """The answers by question, in the order of the row."""
    by_question: dict[str, list[tuple[int | None, str, str | None]]] = {}
    for part in row.answers:
        index = numbers.get(part.region_id) if part.region_id else None
        by_question.setdefault(part.question, []).append((index, part.answer, part.reasoning))
    return [QuestionAnswers(question, answers) for question, answers in by_question.items()]


def _region_texts(box: PictureBox, faults: Faults) -> list[str]:
    """The texts of a region on lines of their own, as the page shows them."""
    region = box.region
    wrong = [f"gold: {text}" for text in faults.regions.get(region.index, [])]
    source = box.source_texts if not wrong else ""
    first = " ".join(text for text in (box.short_text, region.text, source) if text)
    return [text for text in (first, region.detailed_caption, *wrong) if text]


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
        outline=_outline(region),
    )


def _outline(region: Region) -> str:
    """The outline of a region's mask as the data of an SVG path in pixels of the image; empty without one."""
    if region.mask_rle is None:
        return ""
    step = max(1, -(-max(region.mask_rle.size) // _OUTLINE_PX))
    try:
        return outline_path(decode_mask(region.mask_rle)[step // 2 :: step, step // 2 :: step], step)
    except ValueError:  # it cannot be read; its box is shown all the same
        return ""


def _thumbnail(rgb: Image.Image) -> str:
    """An upright JPEG with a long edge of at most `THUMBNAIL_PX`, as a data URI."""
    rgb.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    rgb.save(buffer, format="JPEG", quality=82, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _search_text(row: ImageRow, regions: Sequence[Region]) -> str:
    """Captions, phrases, answers, labels of the drawn regions and addresses of a row, in lower case."""
    texts: list[str | None] = [row.uri, row.caption, row.image_id, row.split]
    for region in regions:
        texts += [region.brief_caption, region.detailed_caption, region.text, region.source_label]
        texts.append(region.source_caption)
    texts += [part.phrase for part in row.groundings] + [part.phrase for part in row.counts]
    texts += [text for answer in row.answers for text in (answer.question, answer.answer)]
    return " ".join(text for text in texts if text).lower()
