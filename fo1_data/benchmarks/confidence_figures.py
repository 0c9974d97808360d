"""What confidences are worth, measured on judged labels: orders of trust, the guarantee, absence, effort.

All splits are by image and seeded. Figures of a fit are never of the labels it was fitted on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt

from fo1_data.confidence.acceptance import certify, plan_sequence
from fo1_data.confidence.calibration import LOG_PROBABILITY, JudgedKind, fit_kind, places_in_image, predict
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
from fo1_data.evaluation.confidences import order_figures
from fo1_data.judging.matching import Pair
from fo1_data.judging.phrases import wanted_regions
from schemas.calibration import JudgedLabels
from schemas.labels import LabelKind

GOAL = 0.02
Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.int64]


def cross_fitted(judged: JudgedKind, seed: int) -> tuple[Values, Flags]:
    """The confidence of every label by a fit on the other half of the images, and which half it is in."""
    half = folds(judged.image_numbers(), 2, seed) == 1
    told = np.zeros(len(judged.right))
    for held in (half, ~half):
        kind = fit_kind(judged.take(~held), seed, held=np.zeros(int((~held).sum()), dtype=bool), num_folds=3)
        told[held] = predict(kind, judged.take(held).tables)
    return told, half


def compare_orders(judged: JudgedKind, seed: int, num_resamples: int = 400) -> dict[str, Any]:
    """All signals against the log-probability alone, on the same labels: figures, and a bootstrap by image.

    `aurc_gain`: log-probability's AURC less that of all signals, its 95 % interval from images drawn
    anew with replacement. Each half of the images has its own fit and is resampled apart.
    """
    told, half = cross_fitted(judged, seed)
    alone = np.array([table.get(LOG_PROBABILITY, 0.0) for table in judged.tables])
    right, images = judged.right.astype(np.float64), judged.image_numbers()
    rng = np.random.default_rng([seed, 21])
    drawn = [_aurc_gain(told, alone, right, images, half, rng) for _ in range(num_resamples)]
    low, high = (float(bound) for bound in np.quantile(drawn, [0.025, 0.975]))
    gains = [float((aurc(alone[h], right[h]) or 0) - (aurc(told[h], right[h]) or 0)) for h in (half, ~half)]
    return {
        "all_signals": order_figures(told, right, told),
        "aurc_gain": round(float(np.mean(gains)), 6),
        "aurc_gain_95": [round(low, 6), round(high, 6)],
        **_effort(told, right),
    }


def _aurc_gain(
    told: Values, alone: Values, right: Values, images: Groups, half: Flags,
    rng: np.random.Generator,
) -> float:  # fmt: skip
    gains = []
    for held in (half, ~half):
        names = np.unique(images[held])
        counts = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))
        times = np.zeros(int(images.max()) + 1, dtype=np.int64)
        times[names] = counts
        rows = np.repeat(np.flatnonzero(held), times[images[held]])
        gains.append((aurc(alone[rows], right[rows]) or 0.0) - (aurc(told[rows], right[rows]) or 0.0))
    return float(np.mean(gains))


def _effort(told: Values, right: Values) -> dict[str, float]:
    """Shares of labels to review until 2 % of all are wrong: by confidence, at random, and with an oracle."""
    error = float(1 - right.mean())
    ours = reviewed_until(told, right, GOAL)
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
    """Over many random splits: how often the error of accepted labels was above what was promised."""

    max_error: float
    exceeded: int = 0
    accepted_none: int = 0
    coverages: list[float] | None = None
    errors: list[float] | None = None

    def document(self, splits: int, level: float) -> dict[str, Any]:
        """Figures, with the largest number of exceedances that binomial noise explains (95 %)."""
        errors, coverages = self.errors or [], self.coverages or []
        spread = [round(float(one), 4) for one in np.quantile(errors, [0.05, 0.5, 0.95, 1])] if errors else []
        return {
            "max_error": self.max_error,
            "splits": splits,
            "exceeded": self.exceeded,
            "exceeded_allowed": _binomial_bound(splits, level),
            "accepted_none": self.accepted_none,
            "mean_coverage": round(float(np.mean(coverages)), 4) if coverages else 0.0,
            "error_quantiles_5_50_95_100": spread,
        }


def check_guarantee(
    judged: JudgedKind, max_errors: Sequence[float], splits: int, level: float, seed: int, num_fits: int = 10
) -> list[dict[str, Any]]:
    """Random splits by image into a third to fit, a third to certify, a third to test the promise on.

    A fit serves `splits / num_fits` divisions of the other images; it is a logistic regression, as the
    promise is to hold whatever the score.
    """
    found = {error: Guarantee(error, coverages=[], errors=[]) for error in max_errors}
    images = judged.image_numbers()
    num_images = int(images.max()) + 1
    rng = np.random.default_rng([seed, 22])
    for _ in range(num_fits):
        order = rng.permutation(num_images)
        fitted = np.isin(images, order[: num_images // 3])
        kind = fit_kind(
            judged.take(fitted),
            seed,
            held=np.zeros(int(fitted.sum()), dtype=bool),
            families=["logistic"],
            num_folds=3,
        )
        told = predict(kind, judged.tables)
        places = places_in_image(images, told)
        plans = {error: plan_sequence(kind.fit_labels, error, level, seed) for error in max_errors}
        for _ in range(splits // num_fits):
            rest = rng.permutation(order[num_images // 3 :])
            certifies = np.isin(images, rest[: len(rest) // 2])
            kind = kind.model_copy(
                update={"held_out": _evidence(judged, told, places, certifies & judged.known)}
            )
            tested = ~fitted & ~certifies & judged.known
            for one in found.values():
                rule = certify(kind, plans[one.max_error], one.max_error, level, seed)
                _count(one, rule.threshold, rule.most_labels, told, places, judged.right, tested)
    return [one.document(splits, level) for one in found.values()]


def _count(
    one: Guarantee, threshold: float | None, most: int | None, told: Values, places: Groups, right: Flags,
    tested: Flags,
) -> None:  # fmt: skip
    taken = tested & (told >= threshold) & (places < (most or 1)) if threshold is not None else tested & False
    assert one.coverages is not None
    assert one.errors is not None
    one.coverages.append(float(taken.sum() / max(1, tested.sum())))
    if not taken.any():
        one.accepted_none += 1
        return
    error = float(1 - right[taken].mean())
    one.errors.append(error)
    one.exceeded += error > one.max_error


def _evidence(judged: JudgedKind, told: Values, places: Groups, keep: Flags) -> JudgedLabels:
    return JudgedLabels(
        image=judged.image_numbers()[keep].tolist(),
        place=places[keep].astype(int).tolist(),
        confidence=told[keep].tolist(),
        wrong=(~judged.right[keep]).tolist(),
    )


def _binomial_bound(trials: int, chance: float) -> int:
    """The least k with P(more than k of `trials`) at most 5 %."""
    total = 0.0
    for k in range(trials + 1):
        total += comb(trials, k) * chance**k * (1 - chance) ** (trials - k)
        if total >= 0.95:
            return k
    return trials


def absent_phrases(pairs: Sequence[Pair], seed: int) -> dict[str, Any]:
    """False positives on absent phrases at 95 % recall of present ones, with and without the absence check.

    A phrase is present where gold names a region. Scores are logistic regressions on the signals of its
    grounding, out of fold by image; `as_answered` is whether the model named any region.
    """
    asked = [
        (pair.row.image_id, bool(wanted), bool(part.region_ids), signals_of(part.label))
        for pair in pairs
        for part in pair.row.groundings
        if part.kind in (LabelKind.GROUND, LabelKind.DETECT)
        and (wanted := wanted_regions(pair.gold, part.phrase)) is not None
    ]
    present = np.array([one[1] for one in asked], dtype=bool)
    named = np.array([one[2] for one in asked], dtype=bool)
    if present.all() or not present.any():
        return {"note": "needs present and absent phrases"}
    images = np.unique([one[0] for one in asked], return_inverse=True)[1].astype(np.int64)
    tables = [table | {"named": float(answered)} for _, _, answered, table in asked]
    document: dict[str, Any] = {
        "num_present": int(present.sum()),
        "num_absent": int((~present).sum()),
        "checked": round(float(np.mean(["absence_probability" in table for table in tables])), 4),
        "as_answered": {
            "recall": round(float(named[present].mean()), 4),
            "false_positives": round(float(named[~present].mean()), 4),
        },
    }
    for name, ours in (("without_check", [_unchecked(table) for table in tables]), ("with_check", tables)):
        scores = _presence(ours, present, images, seed)
        threshold = np.quantile(scores[present], 0.05, method="lower")
        document[name] = {"false_positives": round(float((scores[~present] >= threshold).mean()), 4)}
    return document


def _unchecked(table: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in table.items() if not name.startswith("absence_")}


def _presence(tables: Sequence[dict[str, float]], present: Flags, images: Groups, seed: int) -> Values:
    names = signal_names(tables)
    scores = np.zeros(len(present))
    fold_of = folds(images, 5, seed)
    for fold in range(5):
        held, kept = fold_of == fold, fold_of != fold
        training = [table for table, keep in zip(tables, kept, strict=True) if keep]
        testing = [table for table, keep in zip(tables, held, strict=True) if keep]
        columns = describe_columns(signal_matrix(training, names), names, present[kept])
        if not columns:
            continue
        model = fit_logistic(prepare(training, columns), present[kept], seed)
        scores[held] = score(model, prepare(testing, columns))
    return scores
