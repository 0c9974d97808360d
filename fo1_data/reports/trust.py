"""What a report says of trust: the accepted error with its interval, coverage, minutes saved, two curves.

The error of what was accepted is estimated from labels that were drawn for the audit and judged by people
(kept in the dataset's history), or from gold where the report is given one. Intervals are those of
`risk_bound`: valid for every number of images, whatever the labels of an image do together.
"""

import statistics
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup

from fo1_data.confidence.review_cost import REVIEW_S_PER_LABEL
from fo1_data.confidence.risk_bound import error_interval
from fo1_data.confidence.risk_figures import reliability, risk_curve
from fo1_data.dataset.history import CorrectionHistory
from fo1_data.dataset.label_parts import label_parts
from fo1_data.judging.correctness import Judged
from fo1_data.judging.review_verdicts import judge_reviewed
from fo1_data.reports.curves import curve_chart, thinned, top_of_axis
from schemas.corrections import Correction
from schemas.dataset import Counts
from schemas.images import ImageRow
from schemas.labels import Decision

LabelJudge = Callable[[ImageRow], list[Judged]]
CONFIDENCE_LEVEL = 0.9
_LEAST_FOR_CURVES = 20


@dataclass(frozen=True)
class Estimate:
    """The error of accepted labels: `wrong` of `judged` in `images`; `low` to `high` is its interval."""

    judged: int
    wrong: int
    images: int
    low: float
    high: float

    @property
    def error(self) -> float:
        return self.wrong / self.judged


@dataclass
class Trust:
    """Gathers judged labels row by row. `judge` compares a row with gold; None: only people's verdicts."""

    judge: LabelJudge | None = None
    judged: list[tuple[str, float | None, bool, bool]] = field(default_factory=list)
    most_labels: int = 1

    def add(self, row: ImageRow) -> None:
        """Take in a row: the labels that gold judges, and how many of an image may have been accepted."""
        self.most_labels = max(self.most_labels, _num_unreviewed(row))
        if self.judge is not None:
            self.judged += _facts(self.judge(row))

    def estimate(self, history: CorrectionHistory) -> tuple[Estimate | None, str]:
        """The error of what was accepted, and what it is estimated from."""
        audited = [
            one for one in judge_reviewed(history.originals.values(), history.corrections.values())
            if one.certifies
        ]  # fmt: skip
        if any(one.right is not None for one in audited):
            most = max(self.most_labels, *map(_num_unreviewed, history.originals.values()))
            return estimate_error(_facts(audited), most), "the audit"
        return estimate_error([one for one in self.judged if one[3]], self.most_labels), "gold"

    def charts(self) -> list[tuple[str, str, Markup]]:
        """Reliability and risk-coverage curve of the labels that have a confidence and were judged."""
        told = [(value, right) for _, value, right, _ in self.judged if value is not None]
        if len(told) < _LEAST_FOR_CURVES:
            return []
        confidence = np.array([one[0] for one in told])
        right = np.array([one[1] for one in told], dtype=np.float64)
        bins = [(mean, share) for mean, share, _ in reliability(confidence, right)]
        coverage, risk = risk_curve(confidence, right)
        curve = thinned(list(zip(coverage.tolist(), risk.tolist(), strict=True)))
        note = f"{len(told):,} labels judged by gold"
        return [
            ("Reliability", note, Markup(curve_chart(bins, "confidence", "right", diagonal=True, dots=True))),
            ("Risk and coverage", "wrong among the surest labels",
             Markup(curve_chart(curve, "share of labels accepted", "wrong", most_y=top_of_axis(curve)))),
        ]  # fmt: skip


def _facts(judged: Iterable[Judged]) -> list[tuple[str, float | None, bool, bool]]:
    """Image, confidence, right, and whether it was accepted, of each label that was judged."""
    return [
        (
            one.part.row.image_id,
            one.part.label.confidence,
            bool(one.right),
            one.part.label.decision in (Decision.ACCEPT, Decision.AUDIT),
        )
        for one in judged
        if one.right is not None
    ]


def _num_unreviewed(row: ImageRow) -> int:
    """How many labels of a row may be accepted, or drawn for the audit: all but those sent to people."""
    return sum(part.label.decision is not Decision.REVIEW for part in label_parts(row))


def estimate_error(judged: list[tuple[str, float | None, bool, bool]], most_labels: int) -> Estimate | None:
    """The share of wrong labels among those given, with its interval by image; None of nothing.

    `most_labels`: how many an image has at most, of all images that the estimate is for: it must not be
    taken from those that were judged.
    """
    if not judged:
        return None
    accepted, wrong = Counter[str](), Counter[str]()
    for image_id, _, right, _ in judged:
        accepted[image_id] += 1
        wrong[image_id] += not right
    names = sorted(accepted)
    counts = np.array([accepted[name] for name in names], dtype=np.float64)
    errors = np.array([wrong[name] for name in names], dtype=np.float64)
    low, high = error_interval(errors, counts, most_labels, CONFIDENCE_LEVEL)
    return Estimate(len(judged), int(errors.sum()), len(names), low, high)


def seconds_a_label(corrections: Iterable[Correction]) -> float:
    """How long people took over a label: the median over annotations; an assumption where none is timed."""
    seconds: dict[str, float] = {}
    labels = Counter[str]()
    for one in corrections:
        if one.seconds is not None and one.annotation_key:
            seconds[one.annotation_key] = one.seconds
            labels[one.annotation_key] += 1
    if not seconds:
        return REVIEW_S_PER_LABEL
    return statistics.median(taken / labels[key] for key, taken in seconds.items())


def trust_cards(
    counts: Counts, estimate: Estimate | None, source: str, seconds: float
) -> list[tuple[str, str, str]]:
    """Figure, what it is, and tone: coverage, estimated error, minutes of people that were saved."""
    accepted = counts.accepted + counts.audit
    routed = accepted + counts.review
    if not routed:
        return []
    saved = counts.accepted * seconds / 60
    cards = [
        (f"{100 * accepted / routed:.1f} %", "accepted without review", "good"),
        (f"{saved:,.0f} min" if saved >= 10 else f"{saved:.1f} min",
         f"of people saved, at {seconds:.0f} s a label", "good"),
    ]  # fmt: skip
    if estimate is not None:
        told = f"{100 * estimate.error:.1f} %"
        span = f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f} % with {100 * CONFIDENCE_LEVEL:.0f} %"
        note = f"estimated error of accepted labels by {source} ({span} probability; "
        note += f"{estimate.wrong} of {estimate.judged} wrong)"
        cards.insert(1, (told, note, "fair"))
    return cards
