"""`fo1 report`: a dataset as one self-contained HTML page.

The page shows images with their boxes beside their captions, tracks as strips of their keyframes,
distributions, and the rejects with their reasons. It fetches nothing: pictures are data URIs, and boxes are
SVG in pixels of the EXIF-oriented image, drawn over the thumbnail so that they stay sharp. The choice of
images and tracks depends on the dataset alone. Every text is escaped, and a content security policy allows no
other script.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup

from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.counting import boxes_from
from fo1_data.dataset.reader import Dataset, open_dataset
from fo1_data.plurals import counted
from fo1_data.reports.bars import bar_chart, share_bars, whole_number_bars
from fo1_data.reports.html import page_asset, page_environment, page_policy
from fo1_data.reports.pictures import Picture, picture_of
from fo1_data.reports.row_summary import Judge, summarise_rows
from fo1_data.reports.statistics import CONFIDENCE_BINS, SIZE_BINS, RejectGroups, Statistics
from fo1_data.reports.track_strips import MOST_TRACKS, track_strips
from fo1_data.reports.trust import LabelJudge, TrustFigures, seconds_per_label, trust_cards
from fo1_data.storage.addresses import base_name, normalise, parent
from fo1_data.storage.store import open_store
from schemas.dataset import Counts
from schemas.labels import Decision

_TOP_TEXTS = 12


def write_report(
    address: str,
    out: str,
    num_images: int = 48,
    limits: InputLimits | None = None,
    judge: Judge | None = None,
    judge_labels: LabelJudge | None = None,
    check: Callable[[], None] | None = None,
) -> int:
    """Write the report of the dataset at `address` to the path or URL `out`; returns the number of images.

    `judge` compares a row with its gold; the page then shows the mistakes, the worst images first.
    `judge_labels` judges each label of a row; the page then shows curves and the error of accepted labels.
    `check` is called after all rows were judged and before anything is written; it may raise an error.
    Raises DatasetError if there is no finished dataset, StorageError if `out` cannot be written.
    """
    page, num_shown = render_report(address, num_images, limits or InputLimits(), judge, judge_labels)
    if check is not None:
        check()
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
    summary = summarise_rows(dataset, num_images, judge, judge_labels)
    rejects = RejectGroups()
    for reject in dataset.rejects():
        rejects.add(reject)
    trust = summary.trust
    images = [picture_of(row, limits, faults) for row, faults in summary.shown]
    page = page_environment().from_string(page_asset("report.html.j2"))
    style, script = page_asset("report.css"), page_asset("report.js")
    html = page.render(
        manifest=dataset.manifest,
        address=dataset.store.url,
        cards=_cards(dataset.manifest.counts),
        shares=_decision_shares(dataset.manifest.counts),
        figures=_figures(summary.statistics),
        lists=_top_lists(summary.statistics),
        mistakes=summary.mistakes,
        trust_cards=_trust_cards(dataset, trust),
        trust_charts=trust.charts(),
        rules=_rules(dataset, trust),
        images=images,
        strips=track_strips(dataset, limits, MOST_TRACKS if num_images else 0),
        choices=_choices(images),
        rejects=rejects.by_count(),
        style=Markup(style),
        script=Markup(script),
        policy=page_policy(script),
        boxes_from=boxes_from(dataset.manifest),
        settings=json.dumps(dataset.manifest.config, indent=2, sort_keys=True, ensure_ascii=False),
    )
    return html, len(images)


def _rules(dataset: Dataset, trust: TrustFigures) -> dict[str, Any]:
    """The rules of acceptance of the kinds of labels that the dataset has."""
    rules: dict[str, Any] = (dataset.manifest.routing or {}).get("rules", {})
    return {kind: rule for kind, rule in rules.items() if kind in trust.kinds}


def _trust_cards(dataset: Dataset, trust: TrustFigures) -> list[tuple[str, str, str]]:
    history = dataset.history()
    estimate, source = trust.estimate(history)
    seconds = seconds_per_label(history.corrections.values())
    return trust_cards(dataset.manifest.counts, estimate, source, seconds, trust.num_unreviewed, trust.effort)


def _cards(counts: Counts) -> list[tuple[str, str, str]]:
    """Figure, noun and tone of the summary. Images and regions are always shown, others if not zero."""
    parts = [
        (counts.images, "image", ""),
        (counts.regions, "region", ""),
        (counts.captions, "caption", ""),
        (counts.groundings, "grounding", ""),
        (counts.counts, "count", ""),
        (counts.answers, "answer", ""),
        (counts.videos, "video", ""),
        (counts.tracks, "track", ""),
        (counts.rejected, "reject", "bad"),
    ]
    shown = [part for place, part in enumerate(parts) if part[0] or place < 2]
    return [(*_figure_and_noun(number, noun), tone) for number, noun, tone in shown]


def _figure_and_noun(number: int, noun: str) -> tuple[str, str]:
    figure, _, noun = counted(number, noun).partition(" ")
    return figure, noun


def _decision_shares(counts: Counts) -> list[tuple[str, int, float]]:
    """Name, number and percent of the labels of each decision; empty if nothing was routed."""
    decisions = {
        "accepted": counts.accepted,
        "audit": counts.audit,
        "unreviewed": counts.unreviewed,
        "review": counts.review,
    }
    total = sum(decisions.values())
    return [(name, number, 100 * number / total) for name, number in decisions.items() if number]


def _figures(statistics: Statistics) -> list[tuple[str, str, Markup]]:
    """Title, note and chart of each distribution that the dataset has."""
    sizes = share_bars(statistics.box_sizes, SIZE_BINS)
    confidences = share_bars(statistics.confidences, CONFIDENCE_BINS)
    words = whole_number_bars(statistics.caption_words)
    figures = [
        ("Regions per image", "", whole_number_bars(statistics.regions_per_image), "image"),
        ("Box size", "side, share of the image's", sizes, "region"),
        ("Caption length", "in words", words, "caption"),
        ("Confidence", "calibrated, by label", confidences, "label"),
    ]
    return [
        (title, note, Markup(bar_chart(bars, unit)))
        for title, note, bars, unit in figures
        if any(bar.value for bar in bars)
    ]


def _choices(images: Sequence[Picture]) -> dict[str, list[tuple[str, str]]]:
    """The filters of the page: by name, (value, text) of each choice. Only what the images differ in."""
    decisions = {image.row.decision for image in images}
    values = {
        "decision": [
            *((decision.value, decision.value) for decision in Decision if decision in decisions),
            *([("none", "not routed")] if None in decisions else []),
        ],
        "split": [(split, split) for split in sorted({image.row.split for image in images})],
        "mistakes": [
            (value, text)
            for value, text in (("some", "with mistakes"), ("none", "without mistakes"))
            if any(image.mistakes == value for image in images)
        ],
    }
    return {name: choices for name, choices in values.items() if len(choices) > 1}


def _top_lists(statistics: Statistics) -> list[tuple[str, list[tuple[str, int, float]]]]:
    """Title and (text, count, percent of the largest count) of each list of frequent texts."""
    lists = []
    for title, table in (("Frequent captions", statistics.captions), ("Frequent words", statistics.words)):
        top = sorted(table.items(), key=lambda item: (-item[1], item[0]))[:_TOP_TEXTS]
        if top:
            most = top[0][1]
            lists.append((title, [(text, count, round(100 * count / most, 1)) for text, count in top]))
    return lists
