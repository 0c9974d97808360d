"""Figures of confidences and of signals against gold: calibration, ranking and review effort.

For each kind that gold judges: figures of the stored confidence, of the mean token log-probability alone, of
each signal alone, and of all signals together. The last three are fitted here, on this gold, out of fold by
image.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fo1_data.confidence.calibration import LOG_PROBABILITY
from fo1_data.confidence.judged_kind import JudgedKind, ReadSignals, by_kind, own_signals
from fo1_data.confidence.model_fit import fit, fit_platt, folds, mapped_out_of_fold
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
from fo1_data.confidence.signals import SIGNALS
from fo1_data.judging.correctness import Judged, judge_pairs
from fo1_data.judging.matching import Pair, share
from fo1_data.judging.texts import CaptionMatch
from schemas.labels import LabelKind

# The share of wrong labels that a review is to reach.
GOAL = 0.02
_COVERAGES = (0.5, 0.8, 0.9, 1.0)
# Enough for figures of two digits, and few enough that the fits of `fo1 evaluate` do not take minutes.
MOST_FITTED = 4_000
_MIN_LABELS_PER_SIDE = 10
_NUM_FOLDS = 3

Values = npt.NDArray[np.float64]


def score_confidences(
    pairs: Sequence[Pair],
    how: CaptionMatch,
    most_fitted: int = MOST_FITTED,
    read_signals: ReadSignals = own_signals,
) -> dict[str, object]:
    """Figures of brief captions (Brier score, calibration error, AUROC, error at coverages) and `kinds`.

    The figures at the top level cover labels with a confidence; `num` is 0 if nothing was calibrated. Only
    `accepted` of a kind, the error of the labels that routing accepted, also covers those that gold does not
    judge (`missed`): they count as wrong.
    Signals are compared on about `most_fitted` labels of each kind, from the images with the lowest ids; only
    those are read by `read_signals`.
    """
    sampled = judge_pairs(pairs, how)
    judged = [verdict for verdict in sampled if verdict.right is not None]
    captions = [verdict for verdict in judged if verdict.part.kind is LabelKind.BRIEF_CAPTION]
    of_kinds = {
        kind: of_kind
        for kind in sorted(LabelKind)
        if (of_kind := [item for item in judged if item.part.kind is kind])
    }
    compared = [item for of_kind in of_kinds.values() for item in _of_first_images(of_kind, most_fitted)]
    arrays = by_kind(compared, read_signals=read_signals)
    kinds = {kind.value: _kind_figures(arrays[kind], of_kind) for kind, of_kind in of_kinds.items()}
    for kind, figures in kinds.items():
        figures |= _accepted_figures([item for item in sampled if item.part.kind == kind])
    return {**_stored_figures(captions), "kinds": kinds}


def _accepted_figures(sampled: Sequence[Judged]) -> dict[str, Any]:
    """How many labels of a kind were missed, and the error of the accepted ones with those as wrong."""
    accepted = [item for item in sampled if item.part.label.is_accepted and item.evidence is not None]
    wrong = sum(item.evidence is False for item in accepted)
    return {
        "missed": sum(item.missed for item in sampled),
        "accepted": {
            "num": len(accepted),
            "wrong": wrong,
            "missed": sum(item.missed for item in accepted),
            "error": share(wrong, len(accepted)),
        },
    }


def order_figures(trust: Values, right: Values, probability: Values | None = None) -> dict[str, Any]:
    """Figures of a trust score: coverage at risks, AURC, AUROC, the share to review to reach 2 % error.

    `trust`, `right`: (labels,). `probability`: (labels,) the trust as probabilities, which adds the Brier
    score and the calibration error.
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
    """(labels,) the probability that each label is right, from all its signals, fitted on other images."""
    names = signal_names(judged.tables)
    columns = describe_columns(signal_matrix(judged.tables, names), names, judged.right)
    if not columns:
        return np.full(len(judged.right), judged.right.mean())
    matrix = prepare(judged.tables, columns)
    alone = columns_of(columns, LOG_PROBABILITY)
    images = judged.image_numbers()
    return fit(matrix, judged.right, images, seed, num_folds=_NUM_FOLDS, alone=alone).out_of_fold


def probability_of(trust: Values, judged: JudgedKind, seed: int = 0) -> Values:
    """(labels,) a trust score as probabilities, by Platt's map fitted on other images."""
    spread = float(trust.std())
    scores = (trust - trust.mean()) / spread if spread > 0 else np.zeros(len(trust))
    return mapped_out_of_fold(
        fit_platt, scores, judged.right, folds(judged.image_numbers(), _NUM_FOLDS, seed)
    )


def _kind_figures(arrays: JudgedKind, judged: Sequence[Judged]) -> dict[str, Any]:
    """Figures of one kind. `arrays`: those of the labels `judged` that signals are compared on."""
    right = np.array([verdict.right for verdict in judged], dtype=np.float64)
    document: dict[str, Any] = {"num": len(right), "error": _round(1 - right.mean())}
    with_confidence = [verdict for verdict in judged if verdict.part.label.confidence is not None]
    if with_confidence:
        confidence, truth = _confidence_and_truth(with_confidence)
        document["confidence"] = order_figures(confidence, truth, confidence)
    right = arrays.right.astype(np.float64)
    if min(right.sum(), len(right) - right.sum()) < _MIN_LABELS_PER_SIDE:
        return document | {"note": "too few right or wrong labels to compare signals"}
    if len(set(arrays.image_ids)) < 2:
        return document | {"note": "one image: signals are compared out of fold by image"}
    alone = {}
    names = signal_names(arrays.tables)
    matrix = signal_matrix(arrays.tables, names)
    for name, raw in zip(names, matrix.T, strict=True):
        trust = _trust_by(name, raw, arrays.right)
        alone[name] = order_figures(trust, right, probability_of(trust, arrays))
    together = out_of_fold_probability(arrays)
    return document | {
        "log_probability": alone.get(LOG_PROBABILITY),
        "signals": alone,
        "all_signals": order_figures(together, right, together),
    }


def _trust_by(name: str, raw: Values, is_right: npt.NDArray[np.bool_]) -> Values:
    """(labels,) one signal, `raw`, as a trust score: the median replaces missing values.

    The sign of a signal without a direction is the one that ranks these labels better.
    """
    direction = SIGNALS[name].direction if name in SIGNALS else 0
    if not direction:
        present = ~np.isnan(raw)
        rate = auroc(raw[present], is_right[present].astype(np.float64))
        direction = -1 if rate is not None and rate < 0.5 else 1
    fill = np.nanmedian(raw) if not np.isnan(raw).all() else 0.0
    trust: Values = direction * np.where(np.isnan(raw), fill, raw)
    return trust


def _of_first_images(judged: Sequence[Judged], most_labels: int) -> Sequence[Judged]:
    """The labels of the images with the lowest ids: at most `most_labels`, but of two images at least."""
    if len(judged) <= most_labels:
        return judged
    ids, counts = np.unique([verdict.part.row.image_id for verdict in judged], return_counts=True)
    num_images = int(np.searchsorted(np.cumsum(counts), most_labels))
    first = set(ids[: max(2, num_images)].tolist())
    return [verdict for verdict in judged if verdict.part.row.image_id in first]


def _stored_figures(captions: Sequence[Judged]) -> dict[str, object]:
    with_confidence = [verdict for verdict in captions if verdict.part.label.confidence is not None]
    if not with_confidence:
        return {"num": 0}
    confidence, right = _confidence_and_truth(with_confidence)
    order = np.argsort(-confidence, kind="stable")
    errors = 1 - right[order]
    risks = {
        f"error_at_{coverage:g}": _round(float(errors[: max(1, round(coverage * len(errors)))].mean()))
        for coverage in _COVERAGES
    }
    return {"num": len(right), **order_figures(confidence, right, confidence), **risks}


def _confidence_and_truth(judged: Sequence[Judged]) -> tuple[Values, Values]:
    confidence = np.array([verdict.part.label.confidence for verdict in judged], dtype=np.float64)
    return confidence, np.array([bool(verdict.right) for verdict in judged], dtype=np.float64)


def _round(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)
