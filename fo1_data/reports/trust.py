"""The report's figures of trust: error of accepted labels with its interval, coverage, minutes saved, curves.

The error of accepted labels is estimated from labels that were drawn for the audit and judged by people (kept
in the dataset's history), or from gold if the report has any. The intervals are those of `risk_bound`: valid
for every number of images, however the labels of an image depend on each other.
"""

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from fo1_data.confidence.review_cost import REVIEW_S_PER_LABEL, ReviewEffort, describe_effort
from fo1_data.confidence.risk_bound import error_interval
from fo1_data.confidence.risk_figures import reliability, risk_curve
from fo1_data.dataset.history import CorrectionHistory
from fo1_data.dataset.label_columns import LabelColumns
from fo1_data.dataset.label_parts import label_parts
from fo1_data.judging.correctness import Judged
from fo1_data.judging.review_verdicts import judge_reviewed
from fo1_data.plurals import counted
from fo1_data.reports.curves import curve_chart, thinned, top_of_axis
from schemas.corrections import Correction
from schemas.dataset import Counts
from schemas.images import ImageRow
from schemas.labels import Decision, LabelKind

LabelJudge = Callable[[ImageRow], list[Judged]]
CONFIDENCE_LEVEL = 0.9
_MIN_LABELS_FOR_CURVES = 20


class LabelVerdict(NamedTuple):
    """A judged label: its image, confidence, whether it is right, and whether routing accepted it.

    `missed`: it has no verdict and only counts as wrong.
    """

    image_id: str
    confidence: float | None
    right: bool
    accepted: bool
    missed: bool = False


@dataclass(frozen=True)
class ErrorEstimate:
    """The error of accepted labels: `wrong` of `judged` labels in `images` images, interval `low`..`high`.

    `missed`: how many of the wrong ones have no verdict and only count as wrong.
    """

    judged: int
    wrong: int
    images: int
    low: float
    high: float
    missed: int = 0

    @property
    def error(self) -> float:
        return self.wrong / self.judged


@dataclass
class TrustFigures:
    """Collects what the figures need, a batch of rows at a time; the verdicts of gold row by row."""

    verdicts: list[LabelVerdict] = field(default_factory=list)
    most_labels: int = 1
    num_unreviewed: int = 0
    effort: ReviewEffort = field(default_factory=ReviewEffort)
    kinds: set[LabelKind] = field(default_factory=set)

    def add(self, labels: LabelColumns) -> None:
        """Add the labels of a batch: their kinds, what people are asked, what may be accepted."""
        self.kinds |= {LabelKind(word) for word in labels.column("kind").unique().to_pylist()}
        self.effort.add_all(labels)
        num_outside_review = labels.num_by_row(~labels.is_decided(Decision.REVIEW))
        self.most_labels = max(self.most_labels, int(num_outside_review.max(initial=0)))
        self.num_unreviewed += int(labels.is_unreviewed.sum())

    def add_verdicts(self, judged: Iterable[Judged]) -> None:
        """Add gold's verdicts on the labels of a row."""
        self.verdicts += _verdicts(judged)

    def estimate(self, history: CorrectionHistory) -> tuple[ErrorEstimate | None, str]:
        """The error of accepted labels, and the source of the verdicts."""
        reviewed = judge_reviewed(history.originals.values(), history.corrections.values())
        audited = _verdicts(judged for judged in reviewed if judged.certifies)
        if audited:
            most = max(self.most_labels, *map(_num_outside_review, history.originals.values()))
            return estimate_error(audited, most), "the audit"
        accepted = [verdict for verdict in self.verdicts if verdict.accepted]
        return estimate_error(accepted, self.most_labels), "gold"

    def charts(self) -> list[tuple[str, str, Markup]]:
        """Title, note and chart of the reliability and risk-coverage curves, over labels with confidence."""
        pairs = [(value, right) for _, value, right, *_ in self.verdicts if value is not None]
        if len(pairs) < _MIN_LABELS_FOR_CURVES:
            return []
        confidence, right = np.array(pairs, dtype=np.float64).T
        bins = [(mean, share) for mean, share, _ in reliability(confidence, right)]
        coverage, risk = risk_curve(confidence, right)
        curve = thinned(list(zip(coverage.tolist(), risk.tolist(), strict=True)))
        note = f"{counted(len(pairs), 'label')} judged by gold"
        return [
            ("Reliability", note, Markup(curve_chart(bins, "confidence", "right", diagonal=True, dots=True))),
            ("Risk and coverage", "wrong among the surest labels",
             Markup(curve_chart(curve, "share of labels accepted", "wrong", most_y=top_of_axis(curve)))),
        ]  # fmt: skip


def _verdicts(judged: Iterable[Judged]) -> list[LabelVerdict]:
    """The verdicts on the labels that were judged; those that were missed count as wrong."""
    return [
        LabelVerdict(
            label.part.row.image_id,
            label.part.label.confidence,
            label.evidence,
            label.part.label.is_accepted,
            label.missed,
        )
        for label in judged
        if label.evidence is not None
    ]


def _num_outside_review(row: ImageRow) -> int:
    """The number of labels of a row that may be accepted or drawn for the audit: all but those in review."""
    return sum(part.label.decision is not Decision.REVIEW for part in label_parts(row))


def estimate_error(verdicts: Sequence[LabelVerdict], most_labels: int) -> ErrorEstimate | None:
    """The share of wrong labels among `verdicts` with its interval by image; None without verdicts.

    `most_labels`: the largest number of labels of an image, over all images that the estimate is for. It
    must not be computed from the judged images only.
    """
    if not verdicts:
        return None
    num_judged, num_wrong = Counter[str](), Counter[str]()
    for verdict in verdicts:
        num_judged[verdict.image_id] += 1
        num_wrong[verdict.image_id] += not verdict.right
    image_ids = sorted(num_judged)
    counts = np.array([num_judged[image_id] for image_id in image_ids], dtype=np.float64)
    errors = np.array([num_wrong[image_id] for image_id in image_ids], dtype=np.float64)
    low, high = error_interval(errors, counts, most_labels, CONFIDENCE_LEVEL)
    num_missed = sum(verdict.missed for verdict in verdicts)
    return ErrorEstimate(len(verdicts), int(errors.sum()), len(image_ids), low, high, num_missed)


def seconds_per_label(corrections: Iterable[Correction]) -> float:
    """The time people took for a label: the median over timed annotations, else `REVIEW_S_PER_LABEL`."""
    seconds: dict[str, float] = {}
    num_labels = Counter[str]()
    for correction in corrections:
        if correction.seconds is not None and correction.annotation_key:
            seconds[correction.annotation_key] = correction.seconds
            num_labels[correction.annotation_key] += 1
    if not seconds:
        return REVIEW_S_PER_LABEL
    return statistics.median(duration / num_labels[key] for key, duration in seconds.items())


def trust_cards(
    counts: Counts,
    estimate: ErrorEstimate | None,
    source: str,
    seconds: float,
    num_unreviewed: int = 0,
    effort: ReviewEffort | None = None,
) -> list[tuple[str, str, str]]:
    """Figure, description and tone of each card: coverage, unreviewed labels, estimated error, minutes saved.

    `seconds`: the time of a person for one label. `effort`: what is pushed. `num_unreviewed`: the labels that
    were routed without a calibration (`Label.is_unreviewed`); the counts of an older version hold them as
    accepted.
    """
    num_unreviewed = max(num_unreviewed, counts.unreviewed)
    routed = counts.accepted + counts.audit + counts.unreviewed + counts.review
    if not routed:
        return []
    accepted = routed - counts.review - num_unreviewed
    cards = [(f"{100 * accepted / routed:.1f} %", "accepted without review", "good" if accepted else "bad")]
    if num_unreviewed:
        note = "unreviewed: not accepted, because no calibration stands behind them and nobody saw them"
        cards.append((f"{100 * num_unreviewed / routed:.1f} %", note, "bad"))
    if estimate is not None:
        error = f"{100 * estimate.error:.1f} %"
        span = f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f} % with {100 * CONFIDENCE_LEVEL:.0f} %"
        labels = "accepted" if accepted else "unreviewed"
        note = f"estimated error of {labels} labels by {source} ({span} probability; "
        missed = f", {estimate.missed} of them without a verdict" if estimate.missed else ""
        note += f"{estimate.wrong} of {estimate.judged} wrong{missed})"
        cards.append((error, note, "fair"))
    if effort is not None and effort.saved_if_asked_only:
        note = f"of people saved, at {seconds:.0f} s a label: {describe_effort(effort.counts())}"
        if effort.saved_if_asked_only != effort.saved_labels:
            note += f", which saves {_minutes(effort.saved_if_asked_only * seconds)}"
        tone = "good" if effort.saved_labels else "fair"
        cards.append((_minutes(effort.saved_labels * seconds), note, tone))
    return cards


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:,.0f} min" if seconds >= 600 else f"{seconds / 60:.1f} min"
