"""How far the confidences of labels can be trusted, and how well their signals tell right from wrong.

For each kind that gold judges: figures of the confidence that the dataset holds, of the mean token
log-probability alone, of each signal alone, and of all signals together. The last three are made here,
on this gold, out of fold by image; the first is what was stored.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fo1_data.confidence.calibration import LOG_PROBABILITY, JudgedKind, by_kind
from fo1_data.confidence.risk_figures import (
    RISKS,
    aurc,
    auroc,
    coverage_at,
    expected_calibration_error,
    reviewed_until,
)
from fo1_data.confidence.signal_columns import (
    columns_of,
    describe_columns,
    prepare,
    signal_matrix,
    signal_names,
)
from fo1_data.judging.correctness import Judged, judge_pairs
from fo1_data.judging.matching import Pair
from fo1_data.judging.texts import CaptionMatch
from schemas.labels import LabelKind

GOAL = 0.02
_COVERAGES = (0.5, 0.8, 0.9, 1.0)
# Enough for two digits; `fo1 evaluate` is not to take minutes for a fit.
MOST_FITTED = 4_000
_LEAST_OF_A_SIDE = 10
_NUM_FOLDS = 3

Values = npt.NDArray[np.float64]


def score_confidences(
    pairs: Sequence[Pair], how: CaptionMatch, most_fitted: int = MOST_FITTED
) -> dict[str, object]:
    """Brier score, calibration error, AUROC and error at coverages of brief captions, and `kinds` of all.

    The figures at the top are over labels with a confidence: `num` is 0 where nothing was calibrated.
    Signals are compared on about `most_fitted` labels of each kind, those of the images with the least ids.
    """
    judged = [one for one in judge_pairs(pairs, how) if one.right is not None]
    captions = [one for one in judged if one.part.kind is LabelKind.BRIEF_CAPTION]
    kinds = {
        kind.value: _kind_figures(arrays, [one for one in judged if one.part.kind is kind], most_fitted)
        for kind, arrays in by_kind(judged).items()
    }
    return {**_stored_figures(captions), "kinds": kinds}


def order_figures(trust: Values, right: Values, probability: Values | None = None) -> dict[str, Any]:
    """Figures of an order of trust: coverage at risks, AURC, AUROC, the share to review to reach 2 % error.

    `probability`: the same order as probabilities, for Brier score and calibration error.
    """
    figures: dict[str, Any] = {
        f"coverage_at_{risk:g}": _round(coverage_at(trust, right, risk)) for risk in RISKS
    }
    figures |= {
        "aurc": _round(aurc(trust, right)),
        "auroc": _round(auroc(trust, right)),
        "reviewed_to_2_percent": _round(reviewed_until(trust, right, GOAL)),
    }
    if probability is not None:
        figures["brier"] = _round(float(((probability - right) ** 2).mean()))
        figures["ece"] = _round(expected_calibration_error(probability, right))
    return figures


def out_of_fold_probability(judged: JudgedKind, seed: int = 0) -> Values:
    """The probability of each label by all its signals, fitted on other images' labels."""
    from fo1_data.confidence.model_fit import fit

    known = signal_names(judged.tables)
    columns = describe_columns(signal_matrix(judged.tables, known), known, judged.right)
    if not columns:
        return np.full(len(judged.right), judged.right.mean())
    matrix = prepare(judged.tables, columns)
    alone = columns_of(columns, LOG_PROBABILITY)
    images = judged.image_numbers()
    return fit(matrix, judged.right, images, seed, num_folds=_NUM_FOLDS, alone=alone).out_of_fold


def probability_of(trust: Values, judged: JudgedKind, seed: int = 0) -> Values:
    """An order of trust as probabilities: Platt's map, fitted on other images' labels."""
    from fo1_data.confidence.model_fit import fit_platt, folds, mapped_out_of_fold

    spread = float(trust.std())
    scores = (trust - trust.mean()) / spread if spread > 0 else np.zeros(len(trust))
    return mapped_out_of_fold(
        fit_platt, scores, judged.right, folds(judged.image_numbers(), _NUM_FOLDS, seed)
    )


def _kind_figures(arrays: JudgedKind, judged: Sequence[Judged], most_fitted: int) -> dict[str, Any]:
    right = arrays.right.astype(np.float64)
    document: dict[str, Any] = {"num": len(right), "error": _round(1 - right.mean())}
    stored = [one for one in judged if one.part.label.confidence is not None]
    if stored:
        confidence, truth = _confidence_and_truth(stored)
        document["confidence"] = order_figures(confidence, truth, confidence)
    arrays = _at_most(arrays, most_fitted)
    right = arrays.right.astype(np.float64)
    if min(right.sum(), len(right) - right.sum()) < _LEAST_OF_A_SIDE:
        return document | {"note": "too few right or wrong labels to compare signals"}
    if len(set(arrays.image_ids)) < 2:
        return document | {"note": "one image: signals are compared out of fold by image"}
    every = signal_names(arrays.tables)
    alone = {}
    for name in every:
        trust = _alone(arrays, name)
        alone[name] = order_figures(trust, right, probability_of(trust, arrays))
    everything = out_of_fold_probability(arrays)
    return document | {
        "log_probability": alone.get(LOG_PROBABILITY),
        "signals": alone,
        "all_signals": order_figures(everything, right, everything),
    }


def _alone(judged: JudgedKind, name: str) -> Values:
    """A signal as an order of trust: turned by its direction, missing values in the middle."""
    from fo1_data.confidence.signals import SIGNALS

    raw = signal_matrix(judged.tables, [name])[:, 0]
    direction = SIGNALS[name].direction if name in SIGNALS else 0
    if not direction:
        known = ~np.isnan(raw)
        rate = auroc(raw[known], judged.right[known].astype(np.float64))
        direction = -1 if rate is not None and rate < 0.5 else 1
    fill = np.nanmedian(raw) if not np.isnan(raw).all() else 0.0
    turned: Values = direction * np.where(np.isnan(raw), fill, raw)
    return turned


def _at_most(judged: JudgedKind, most: int) -> JudgedKind:
    if len(judged.right) <= most:
        return judged
    images = judged.image_numbers()
    kept = np.searchsorted(np.cumsum(np.bincount(images)), most)
    return judged.take(images < max(2, int(kept)))


def _stored_figures(captions: Sequence[Judged]) -> dict[str, object]:
    stored = [one for one in captions if one.part.label.confidence is not None]
    if not stored:
        return {"num": 0}
    confidence, right = _confidence_and_truth(stored)
    order = np.argsort(-confidence, kind="stable")
    errors = 1 - right[order]
    risks = {
        f"error_at_{coverage:g}": _round(float(errors[: max(1, round(coverage * len(errors)))].mean()))
        for coverage in _COVERAGES
    }
    return {"num": len(right), **order_figures(confidence, right, confidence), **risks}


def _confidence_and_truth(judged: Sequence[Judged]) -> tuple[Values, Values]:
    confidence = np.array([one.part.label.confidence for one in judged], dtype=np.float64)
    return confidence, np.array([bool(one.right) for one in judged], dtype=np.float64)


def _round(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)
