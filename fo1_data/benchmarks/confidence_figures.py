"""Measures confidences on judged labels: ranking, review effort, the guarantee and the absence check.

All splits are by image and seeded. Figures of a fit are never computed on the labels it was fitted on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt

from fo1_data.confidence.acceptance import certify, plan_sequence
from fo1_data.confidence.calibration import LOG_PROBABILITY, fit_kind, judged_labels, predict
from fo1_data.confidence.judged_kind import JudgedKind, places_in_image
from fo1_data.confidence.model_fit import fit_logistic, folds
from fo1_data.confidence.risk_figures import aurc, reviewed_until
from fo1_data.confidence.scoring import score
from fo1_data.confidence.signal_columns import (
    describe_columns,
    prepare,
    signal_matrix,
    signal_names,
    signals_of,
)
from fo1_data.evaluation.confidences import GOAL, order_figures
from fo1_data.judging.matching import Pair
from fo1_data.judging.phrases import gold_regions
from schemas.calibration import Acceptance
from schemas.labels import LabelKind

Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.int64]
# What an order of labels costs, from (labels,) trust and verdicts: less is better.
Cost = Callable[[Values, Values], float]


def cross_fitted(judged: JudgedKind, seed: int) -> tuple[Values, Flags]:
    """(labels,) the confidence of every label from a fit on the other half of the images, and the halves."""
    half = folds(judged.image_numbers(), 2, seed) == 1
    confidences = np.zeros(len(judged.right))
    for part in (half, ~half):
        nothing_held_out = np.zeros(int((~part).sum()), dtype=bool)
        kind = fit_kind(judged.take(~part), seed, held_out=nothing_held_out, num_folds=3)
        confidences[part] = predict(kind, judged.take(part).tables)
    return confidences, half


def compare_orders(judged: JudgedKind, seed: int, num_resamples: int = 400) -> dict[str, Any]:
    """All signals against the log-probability alone, on the same labels.

    `aurc_gain`: the AURC of the log-probability minus that of all signals; `aurc_gain_95`: its 95 %
    interval by a bootstrap over images. Each half of the images has its own fit and is resampled separately.
    """
    confidences, half = cross_fitted(judged, seed)
    alone = np.array([table.get(LOG_PROBABILITY, 0.0) for table in judged.tables])
    right = judged.right.astype(np.float64)
    gain, interval = paired_gain(aurc_cost, confidences, alone, judged, half, seed, num_resamples)
    return {
        "all_signals": order_figures(confidences, right, confidences),
        "aurc_gain": gain,
        "aurc_gain_95": interval,
        **_effort(confidences, right),
    }


def paired_gain(
    cost: Cost, order: Values, other: Values, judged: JudgedKind, half: Flags, seed: int, num_resamples: int
) -> tuple[float, list[float]]:
    """How much less an order of all labels costs than another one, and its 95 % interval by a bootstrap.

    Both are measured on the same images, drawn with replacement within each half; each half has its own fit,
    so its labels are ordered apart, and the gain is the mean of the two.
    """
    right, images = judged.right.astype(np.float64), judged.image_numbers()
    rng = np.random.default_rng([seed, 21])
    resampled = [_resampled_gain(cost, order, other, right, images, half, rng) for _ in range(num_resamples)]
    low, high = (round(float(bound), 6) for bound in np.quantile(resampled, [0.025, 0.975]))
    gains = [cost(other[part], right[part]) - cost(order[part], right[part]) for part in (half, ~half)]
    return round(float(np.mean(gains)), 6), [low, high]


def aurc_cost(order: Values, right: Values) -> float:
    """AURC as a cost; 0 without labels."""
    return aurc(order, right) or 0.0


def _resampled_gain(
    cost: Cost,
    order: Values,
    other: Values,
    right: Values,
    images: Groups,
    half: Flags,
    rng: np.random.Generator,
) -> float:
    """The gain on images drawn with replacement within each half."""
    gains = []
    for part in (half, ~half):
        numbers = np.unique(images[part])
        repeats = np.zeros(int(images.max()) + 1, dtype=np.int64)
        drawn = rng.integers(0, len(numbers), len(numbers))
        repeats[numbers] = np.bincount(drawn, minlength=len(numbers))
        labels = np.repeat(np.flatnonzero(part), repeats[images[part]])
        gains.append(cost(other[labels], right[labels]) - cost(order[labels], right[labels]))
    return float(np.mean(gains))


def _effort(confidences: Values, right: Values) -> dict[str, float]:
    """Shares of labels to review until 2 % of all are wrong: by confidence, at random, and by an oracle."""
    error = float(1 - right.mean())
    ours = reviewed_until(confidences, right, GOAL)
    at_random = max(0.0, 1 - GOAL / error) if error > 0 else 0.0
    return {
        "error": round(error, 6),
        "reviewed": round(ours, 6),
        "reviewed_at_random": round(at_random, 6),
        "reviewed_by_an_oracle": round(max(0.0, error - GOAL), 6),
        "effort_ratio": round(ours / at_random, 6) if at_random else 0.0,
    }


@dataclass
class Guarantee:
    """The outcome of one maximum error over many random splits.

    `exceeded`: in how many splits the error of the accepted labels was above `max_error`.
    """

    max_error: float
    exceeded: int = 0
    accepted_none: int = 0
    coverages: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)

    def add(self, accepted: Flags, tested: Flags, right: Flags) -> None:
        """Count one split, in which the rule took the labels `accepted` of those `tested`."""
        self.coverages.append(float(accepted.sum() / max(1, tested.sum())))
        if not accepted.any():
            self.accepted_none += 1
            return
        error = float(1 - right[accepted].mean())
        self.errors.append(error)
        self.exceeded += error > self.max_error

    def document(self, splits: int, level: float) -> dict[str, Any]:
        """Figures, with the largest number of exceedances that binomial noise explains (95 %)."""
        quantiles = np.quantile(self.errors, [0.05, 0.5, 0.95, 1]).tolist() if self.errors else []
        return {
            "max_error": self.max_error,
            "splits": splits,
            "exceeded": self.exceeded,
            "exceeded_allowed": _binomial_bound(splits, level),
            "accepted_none": self.accepted_none,
            "mean_coverage": round(float(np.mean(self.coverages)), 4) if self.coverages else 0.0,
            "error_quantiles_5_50_95_100": [round(error, 4) for error in quantiles],
        }


def check_guarantee(
    judged: JudgedKind, max_errors: Sequence[float], splits: int, level: float, seed: int, num_fits: int = 10
) -> list[dict[str, Any]]:
    """Random splits by image: a third to fit, a third to certify, a third to test the guarantee on.

    Each fit serves `splits / num_fits` divisions of the other images. It is a logistic regression, because
    the guarantee must hold for any score.
    """
    guarantees = [Guarantee(error) for error in max_errors]
    images = judged.image_numbers()
    num_images = int(images.max()) + 1
    rng = np.random.default_rng([seed, 22])
    for _ in range(num_fits):
        order = rng.permutation(num_images)
        fitted = np.isin(images, order[: num_images // 3])
        kind = fit_kind(
            judged.take(fitted),
            seed,
            held_out=np.zeros(int(fitted.sum()), dtype=bool),
            families=["logistic"],
            num_folds=3,
        )
        confidences = predict(kind, judged.tables)
        places = places_in_image(images, confidences)
        plans = {error: plan_sequence(kind.fit_labels, error, level, seed) for error in max_errors}
        for _ in range(splits // num_fits):
            rest = rng.permutation(order[num_images // 3 :])
            certifies = np.isin(images, rest[: len(rest) // 2])
            held_out = judged_labels(judged, confidences, certifies & judged.has_verdict)
            kind = kind.model_copy(update={"held_out": held_out})
            tested = ~fitted & ~certifies & judged.has_verdict
            for guarantee in guarantees:
                error = guarantee.max_error
                rule = certify(kind, plans[error], error, level, seed)
                guarantee.add(tested & accepted_by(rule, confidences, places), tested, judged.right)
    return [guarantee.document(splits, level) for guarantee in guarantees]


def accepted_by(rule: Acceptance, confidences: Values, places: Groups) -> Flags:
    """(labels,) which labels a rule accepts, by their confidence and their place in their image."""
    if rule.threshold is None:
        return np.zeros(len(confidences), dtype=bool)
    accepted: Flags = (confidences >= rule.threshold) & (places < (rule.most_labels or 1))
    return accepted


def _binomial_bound(trials: int, probability: float) -> int:
    """The smallest k such that more than k successes in `trials` have a probability of at most 5 %."""
    total = 0.0
    for k in range(trials + 1):
        total += comb(trials, k) * probability**k * (1 - probability) ** (trials - k)
        if total >= 0.95:
            return k
    return trials


def absent_phrases(pairs: Sequence[Pair], seed: int) -> dict[str, Any]:
    """False positives on absent phrases at 95 % recall of present ones, with and without the absence check.

    A phrase is present if gold names a region for it. The scores are logistic regressions on the signals of
    the groundings, out of fold by image. `as_answered`: by whether the model named any region.
    """
    phrases = [
        (pair.row.image_id, bool(expected), bool(part.region_ids), signals_of(part.label))
        for pair in pairs
        for part in pair.row.groundings
        if part.kind in (LabelKind.GROUND, LabelKind.DETECT)
        and (expected := gold_regions(pair, part.phrase)) is not None
    ]
    present = np.array([is_present for _, is_present, _, _ in phrases], dtype=bool)
    named = np.array([is_named for _, _, is_named, _ in phrases], dtype=bool)
    if present.all() or not present.any():
        return {"note": "needs present and absent phrases"}
    images = np.unique([image_id for image_id, *_ in phrases], return_inverse=True)[1].astype(np.int64)
    tables = [table | {"named": float(is_named)} for _, _, is_named, table in phrases]
    document: dict[str, Any] = {
        "num_present": int(present.sum()),
        "num_absent": int((~present).sum()),
        "checked": round(float(np.mean(["absence_probability" in table for table in tables])), 4),
        "as_answered": {
            "recall": round(float(named[present].mean()), 4),
            "false_positives": round(float(named[~present].mean()), 4),
        },
    }
    without_check = [_without_absence_signals(table) for table in tables]
    for name, variant in (("without_check", without_check), ("with_check", tables)):
        scores = _presence_scores(variant, present, images, seed)
        threshold = np.quantile(scores[present], 0.05, method="lower")
        document[name] = {"false_positives": round(float((scores[~present] >= threshold).mean()), 4)}
    return document


def _without_absence_signals(table: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in table.items() if not name.startswith("absence_")}


def _presence_scores(tables: Sequence[dict[str, float]], present: Flags, images: Groups, seed: int) -> Values:
    """(phrases,) out-of-fold log odds that a phrase is present."""
    names = signal_names(tables)
    scores = np.zeros(len(present))
    fold_of = folds(images, 5, seed)
    for fold in range(5):
        inside, outside = fold_of == fold, fold_of != fold
        training = [table for table, keep in zip(tables, outside, strict=True) if keep]
        testing = [table for table, keep in zip(tables, inside, strict=True) if keep]
        columns = describe_columns(signal_matrix(training, names), names, present[outside])
        if not columns:
            continue
        model = fit_logistic(prepare(training, columns), present[outside], seed)
        scores[inside] = score(model, prepare(testing, columns))
    return scores
