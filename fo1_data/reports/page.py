"""`fo1 report`: a dataset as one self-contained HTML page.

Images with their boxes and captions side by side, distributions, what was rejected and why. The
page fetches nothing: thumbnails are data URIs, boxes are SVG in the pixels of the EXIF-oriented
image laid over them, so that they stay sharp. Which images are shown depends on the dataset alone.
Every text is escaped; a content security policy keeps any other script out.
"""

import base64
import hashlib
import heapq
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.reader import Dataset, open_dataset
from fo1_data.evaluation.faults import Faults, Mistakes
from fo1_data.reports.bars import bar_chart, share_bars, whole_number_bars
from fo1_data.reports.pictures import show_image
from fo1_data.reports.statistics import CONFIDENCE_BINS, SIZE_BINS, RejectGroups, Statistics
from fo1_data.reports.trust import LabelJudge, Trust, seconds_a_label, trust_cards
from fo1_data.storage.addresses import base_name, normalise, parent
from fo1_data.storage.store import open_store
from schemas.images import ImageRow

_TOP_TEXTS = 12
Judge = Callable[[ImageRow], Faults | None]


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
        rules=(dataset.manifest.routing or {}).get("rules", {}),
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
    return files("fo1_data.reports").joinpath("templates", name).read_text(encoding="utf-8")


def _environment() -> Environment:
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    filters: dict[str, Callable[..., Any]] = {
        "thousands": lambda number: f"{number:,}",
        "number_in": lambda region_id, numbers: numbers.get(region_id, "?"),
    }
    environment.filters.update(filters)
    return environment
