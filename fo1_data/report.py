"""`fo1 report`: a dataset as one self-contained HTML page.

Images with their boxes and captions side by side, distributions, what was rejected and why. The
page fetches nothing: thumbnails are data URIs, boxes are SVG in the pixels of the EXIF-oriented
image laid over them, so that they stay sharp. Which images are shown depends on the dataset alone.
Every text is escaped; a content security policy keeps any other script out.
"""

import base64
import hashlib
import heapq
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from jinja2 import Environment
from markupsafe import Markup
from PIL import Image

from fo1_data.corpus.addresses import base_name, normalise, parent
from fo1_data.corpus.images import InputLimits, decode_rgb
from fo1_data.corpus.storage import open_store
from fo1_data.dataset.pixels import image_bytes
from fo1_data.dataset.reader import Dataset, open_dataset
from fo1_data.errors import DatasetError, InputReject
from fo1_data.evaluation.faults import Faults, Mistakes
from fo1_data.report_figures import bar_chart, share_bars, whole_number_bars
from fo1_data.report_statistics import CONFIDENCE_BINS, SIZE_BINS, RejectGroups, Statistics
from fo1_data.report_trust import LabelJudge, Trust, seconds_a_label, trust_cards
from schemas.images import ImageRow
from schemas.regions import Region

THUMBNAIL_PX = 720
NUM_COLOURS = 8
_TOP_TEXTS = 12
Judge = Callable[[ImageRow], Faults | None]
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


@dataclass
class _Gathered:
    statistics: Statistics = field(default_factory=Statistics)
    mistakes: Mistakes = field(default_factory=Mistakes)
    rows: list[tuple[ImageRow, Faults | None]] = field(default_factory=list)


def write_report(
    address: str,
    out: str,
    num_images: int = 48,
    limits: InputLimits | None = None,
    judge: Judge | None = None,
    judge_labels: LabelJudge | None = None,
) -> int:
    """Write the report of the dataset at `address` to the file or URL `out`; returns the images it shows.

    `judge` compares a row with its gold: the page then shows the mistakes, worst images first.
    `judge_labels` says which of its labels are right: then curves and the error of what was accepted
    are shown. Raises DatasetError where there is no finished dataset, StorageError where `out` cannot be
    written.
    """
    page, shown = render_report(address, num_images, limits or InputLimits(), judge, judge_labels)
    target = normalise(out)
    open_store(parent(target)).write_bytes(base_name(target), page.encode())
    return shown


def render_report(
    address: str,
    num_images: int,
    limits: InputLimits,
    judge: Judge | None = None,
    judge_labels: LabelJudge | None = None,
) -> tuple[str, int]:
    """The page of the dataset at `address` with at most `num_images` images, and how many it shows."""
    dataset = open_dataset(address)
    trust = Trust(judge_labels)
    gathered = _gather(_seen(dataset.rows(), trust), num_images, judge)
    rejects = RejectGroups()
    for reject in dataset.rejects():
        rejects.add(reject)
    images = [show_image(row, limits, faults) for row, faults in gathered.rows]
    page = _environment().from_string(_asset("report.html.j2"))
    style, script = _asset("report.css"), _asset("report.js")
    html = page.render(
        manifest=dataset.manifest,
        address=dataset.store.url,
        cards=_cards(dataset),
        figures=_figures(gathered.statistics),
        lists=_top_lists(gathered.statistics),
        mistakes=gathered.mistakes,
        trust_cards=_trust_cards(dataset, trust),
        trust_charts=trust.charts(),
        rules=((dataset.manifest.model_extra or {}).get("routing") or {}).get("rules", {}),
        images=images,
        rejects=rejects.by_count(),
        style=Markup(style),
        script=Markup(script),
        policy=_policy(script),
        settings=json.dumps(dataset.manifest.config, indent=2, sort_keys=True, ensure_ascii=False),
    )
    return html, len(images)


def _seen(rows: Iterable[ImageRow], trust: Trust) -> Iterator[ImageRow]:
    for row in rows:
        trust.add(row)
        yield row


def _trust_cards(dataset: Dataset, trust: Trust) -> list[tuple[str, str, str]]:
    history = dataset.history()
    estimate, source = trust.estimate(history)
    seconds = seconds_a_label(history.corrections.values())
    return trust_cards(dataset.manifest.counts, estimate, source, seconds)


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


def _gather(rows: Iterable[ImageRow], num_images: int, judge: Judge | None) -> _Gathered:
    """Count every row; keep those with most mistakes, else whose ids are the least.

    Ids are hashes: a fair, lasting draw.
    """
    gathered = _Gathered()
    kept: list[tuple[int, int, int, ImageRow, Faults | None]] = []
    for position, row in enumerate(rows):
        gathered.statistics.add(row)
        faults = judge(row) if judge else None
        if faults is not None:
            gathered.mistakes.add(faults)
        # A heap has on top what goes first: of the fewest mistakes the greatest id.
        entry = (len(faults or ()), -int(row.image_id[:16] or "0", 16), -position, row, faults)
        if len(kept) < num_images:
            heapq.heappush(kept, entry)
        elif kept and entry[:3] > kept[0][:3]:
            heapq.heapreplace(kept, entry)
    order = sorted(kept, key=lambda entry: (-entry[0], -entry[2]))
    gathered.rows = [(row, faults) for *_, row, faults in order]
    return gathered


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


def _cards(dataset: Dataset) -> list[tuple[str, int, str]]:
    """Title, figure and tone of the summary's cards; those that are zero and say nothing are left out."""
    counts = dataset.manifest.counts
    always = [
        ("images", counts.images, ""),
        ("regions", counts.regions, ""),
        ("captions", counts.captions, ""),
    ]
    sometimes = [
        ("groundings", counts.groundings, ""),
        ("counts", counts.counts, ""),
        ("answers", counts.answers, ""),
        ("accepted", counts.accepted, "good"),
        ("for audit", counts.audit, "fair"),
        ("for review", counts.review, "fair"),
        ("rejected", counts.rejected, "bad"),
    ]
    return always + [card for card in sometimes if card[1]]


def _figures(statistics: Statistics) -> list[tuple[str, str, Markup]]:
    """Title, note and chart of each distribution that there is something to show of."""
    sizes, confidences = share_bars(statistics.box_sizes, SIZE_BINS), statistics.confidences
    found = [
        ("Regions an image", "", bar_chart(whole_number_bars(statistics.regions_an_image), "images")),
        ("Box size", "side as a share of the image's", bar_chart(sizes, "regions")),
        ("Caption length", "in words", bar_chart(whole_number_bars(statistics.caption_words), "captions")),
    ]
    if confidences:
        bars = share_bars(confidences, CONFIDENCE_BINS)
        found.append(("Confidence", "calibrated, by label", bar_chart(bars, "labels")))
    return [(title, note, Markup(chart)) for title, note, chart in found]


def _top_lists(statistics: Statistics) -> list[tuple[str, list[tuple[str, int, float]]]]:
    """Title and (text, count, share of the longest bar) of each list of frequent texts."""
    lists = []
    for title, table in (("Frequent captions", statistics.captions), ("Frequent words", statistics.words)):
        top = sorted(table.items(), key=lambda item: (-item[1], item[0]))[:_TOP_TEXTS]
        if top:
            most = top[0][1]
            lists.append((title, [(text, count, round(100 * count / most, 1)) for text, count in top]))
    return lists


def _policy(script: str) -> str:
    """Nothing is fetched, and no script but the page's own runs."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def _asset(name: str) -> str:
    return files("fo1_data").joinpath("templates", name).read_text(encoding="utf-8")


def _environment() -> Environment:
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    filters: dict[str, Callable[..., Any]] = {
        "thousands": lambda number: f"{number:,}",
        "number_in": lambda region_id, numbers: numbers.get(region_id, "?"),
    }
    environment.filters.update(filters)
    return environment
