"""`fo1 report`: a dataset as one self-contained HTML page.

The page shows images with their boxes beside their captions, distributions, and the rejects with their
reasons. It fetches nothing: thumbnails are data URIs, and boxes are SVG in pixels of the EXIF-oriented image,
drawn over the thumbnail so that they stay sharp. The choice of images depends on the dataset alone. Every
text is escaped, and a content security policy allows no other script.
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
from fo1_data.reports.pictures import picture_of
from fo1_data.reports.statistics import CONFIDENCE_BINS, SIZE_BINS, RejectGroups, Statistics
from fo1_data.reports.trust import LabelJudge, TrustFigures, seconds_per_label, trust_cards
from fo1_data.storage.addresses import base_name, normalise, parent
from fo1_data.storage.store import open_store
from schemas.images import ImageRow

_TOP_TEXTS = 12
Judge = Callable[[ImageRow], Faults | None]


@dataclass
class _RowSummary:
    """Figures over all rows, and the rows to show, the first first."""

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
    """Write the report of the dataset at `address` to the path or URL `out`; returns the number of images.

    `judge` compares a row with its gold; the page then shows the mistakes, the worst images first.
    `judge_labels` judges each label of a row; the page then shows curves and the error of accepted labels.
    Raises DatasetError if there is no finished dataset, StorageError if `out` cannot be written.
    """
    page, num_shown = render_report(address, num_images, limits or InputLimits(), judge, judge_labels)
    target = normalise(out)
    open_store(parent(target)).write_bytes(base_name(target), page.encode())
    return num_shown


def render_report(
    address: str,
    num_images: int,
    limits: InputLimits,
    judge: Judge | None = None,
    judge_labels: LabelJudge | None = None,
) -> tuple[str, int]:
    """The page of the dataset at `address` with at most `num_images` images, and how many it shows."""
    dataset = open_dataset(address)
    trust = TrustFigures(judge_labels)
    summary = _summarise(_add_each(dataset.rows(), trust), num_images, judge)
    rejects = RejectGroups()
    for reject in dataset.rejects():
        rejects.add(reject)
    images = [picture_of(row, limits, faults) for row, faults in summary.rows]
    page = _environment().from_string(_asset("report.html.j2"))
    style, script = _asset("report.css"), _asset("report.js")
    html = page.render(
        manifest=dataset.manifest,
        address=dataset.store.url,
        cards=_cards(dataset),
        figures=_figures(summary.statistics),
        lists=_top_lists(summary.statistics),
        mistakes=summary.mistakes,
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


def _add_each(rows: Iterable[ImageRow], trust: TrustFigures) -> Iterator[ImageRow]:
    """Yields the rows unchanged and adds each to `trust`."""
    for row in rows:
        trust.add(row)
        yield row


def _trust_cards(dataset: Dataset, trust: TrustFigures) -> list[tuple[str, str, str]]:
    history = dataset.history()
    estimate, source = trust.estimate(history)
    seconds = seconds_per_label(history.corrections.values())
    return trust_cards(dataset.manifest.counts, estimate, source, seconds, trust.num_unreviewed)


def _summarise(rows: Iterable[ImageRow], num_images: int, judge: Judge | None) -> _RowSummary:
    """Count every row; keep the rows with most mistakes, and among equals those with the lowest ids.

    Ids are hashes, so without a judge this is a reproducible random sample.
    """
    summary = _RowSummary()
    kept: list[tuple[int, int, int, ImageRow, Faults | None]] = []
    for position, row in enumerate(rows):
        summary.statistics.add(row)
        faults = judge(row) if judge else None
        if faults is not None:
            summary.mistakes.add(faults)
        # On top of the heap is the row to drop first: with the fewest mistakes, and then the highest id.
        entry = (len(faults or ()), -int(row.image_id[:16] or "0", 16), -position, row, faults)
        if len(kept) < num_images:
            heapq.heappush(kept, entry)
        elif kept and entry[:3] > kept[0][:3]:
            heapq.heapreplace(kept, entry)
    order = sorted(kept, key=lambda entry: (-entry[0], -entry[2]))
    summary.rows = [(row, faults) for *_, row, faults in order]
    return summary


def _cards(dataset: Dataset) -> list[tuple[str, int, str]]:
    """Title, figure and tone of the summary cards. Images, regions and captions are always shown, the others
    only if they are not zero."""
    counts = dataset.manifest.counts
    always = [
        ("images", counts.images, ""),
        ("regions", counts.regions, ""),
        ("captions", counts.captions, ""),
    ]
    optional = [
        ("groundings", counts.groundings, ""),
        ("counts", counts.counts, ""),
        ("answers", counts.answers, ""),
        ("accepted", counts.accepted, "good"),
        ("for audit", counts.audit, "fair"),
        ("unreviewed", counts.unreviewed, "bad"),
        ("for review", counts.review, "fair"),
        ("rejected", counts.rejected, "bad"),
    ]
    return always + [card for card in optional if card[1]]


def _figures(statistics: Statistics) -> list[tuple[str, str, Markup]]:
    """Title, note and chart of each distribution. Confidences are shown only if a label has one."""
    sizes, confidences = share_bars(statistics.box_sizes, SIZE_BINS), statistics.confidences
    figures = [
        ("Regions an image", "", bar_chart(whole_number_bars(statistics.regions_per_image), "images")),
        ("Box size", "side as a share of the image's", bar_chart(sizes, "regions")),
        ("Caption length", "in words", bar_chart(whole_number_bars(statistics.caption_words), "captions")),
    ]
    if confidences:
        bars = share_bars(confidences, CONFIDENCE_BINS)
        figures.append(("Confidence", "calibrated, by label", bar_chart(bars, "labels")))
    return [(title, note, Markup(chart)) for title, note, chart in figures]


def _top_lists(statistics: Statistics) -> list[tuple[str, list[tuple[str, int, float]]]]:
    """Title and (text, count, percent of the largest count) of each list of frequent texts."""
    lists = []
    for title, table in (("Frequent captions", statistics.captions), ("Frequent words", statistics.words)):
        top = sorted(table.items(), key=lambda item: (-item[1], item[0]))[:_TOP_TEXTS]
        if top:
            most = top[0][1]
            lists.append((title, [(text, count, round(100 * count / most, 1)) for text, count in top]))
    return lists


def _policy(script: str) -> str:
    """The content security policy: nothing is fetched, and only the page's own script runs."""
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
