"""How far the confidences of brief captions can be trusted: calibration and risk at coverage."""

from collections.abc import Sequence

import numpy as np

from fo1_data.evaluation.captions import CaptionMatch, brief_caption_right
from fo1_data.evaluation.matching import Pair
from schemas.labels import LabelKind

_COVERAGES = (0.5, 0.8, 0.9, 1.0)


def score_confidences(pairs: Sequence[Pair], how: CaptionMatch) -> dict[str, object]:
    """Brier score, expected calibration error (ten equal bins), AUROC, and error at some coverages.

    Only labels with a confidence count: an uncalibrated dataset gives `{"num": 0}`.
    """
    confidence, right = _judged(pairs, how)
    if not len(right):
        return {"num": 0}
    order = np.argsort(-confidence, kind="stable")
    errors = 1 - right[order]
    risks = {
        f"error_at_{coverage:g}": round(float(errors[: max(1, round(coverage * len(errors)))].mean()), 6)
        for coverage in _COVERAGES
    }
    return {
        "num": len(right),
        "brier": round(float(((confidence - right) ** 2).mean()), 6),
        "ece": round(expected_calibration_error(confidence, right), 6),
        "auroc": auroc(confidence, right),
        **risks,
    }


def expected_calibration_error(confidence: np.ndarray, right: np.ndarray, num_bins: int = 10) -> float:
    """The mean distance of confidence and accuracy over equal bins, weighted by their size (Naeini, 2015)."""
    bins = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
    gaps = [
        abs(confidence[bins == number].mean() - right[bins == number].mean()) * (bins == number).mean()
        for number in range(num_bins)
        if (bins == number).any()
    ]
    return float(sum(gaps))


def auroc(confidence: np.ndarray, right: np.ndarray) -> float | None:
    """The chance that a right label has more confidence than a wrong one; ties count half."""
    good, bad = confidence[right == 1], confidence[right == 0]
    if not len(good) or not len(bad):
        return None
    more = (good[:, None] > bad[None]).mean() + 0.5 * (good[:, None] == bad[None]).mean()
    return round(float(more), 6)


def _judged(pairs: Sequence[Pair], how: CaptionMatch) -> tuple[np.ndarray, np.ndarray]:
    found: list[tuple[float, bool]] = []
    for pair in pairs:
        for region, place in zip(pair.row.regions, pair.gold_of, strict=True):
            if place is None or not pair.gold.regions:
                continue
            for label in region.labels:
                if label.kind == LabelKind.BRIEF_CAPTION and label.confidence is not None:
                    right = brief_caption_right(label.text, pair.gold.regions[place], how)
                    found += [(label.confidence, right)] if right is not None else []
    values = np.array(found, dtype=np.float64).reshape(-1, 2)
    return values[:, 0], values[:, 1]
