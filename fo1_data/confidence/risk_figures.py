"""How well a number tells right labels from wrong ones, and how far it can be taken as a probability.

All take (labels,) arrays: `trust` (any unit, more means likelier right), `confidence` (0 to 1) and `right`
(0 or 1). Errors, risks and coverages are shares, 0 to 1. Equal trust counts as drawn in random order, so that
a figure does not depend on the order of labels.
"""

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
RISKS = (0.01, 0.02, 0.05, 0.1)


def risk_curve(trust: Values, right: Values) -> tuple[Values, Values]:
    """Coverage and the share of wrong labels at it, after each group of equal trust, most trusted first."""
    counts, wrong = _groups(trust, right)
    covered = np.cumsum(counts)
    return covered / max(1, len(right)), np.cumsum(wrong) / covered


def aurc(trust: Values, right: Values) -> float | None:
    """Area under the risk-coverage curve: the mean error over all coverages (Geifman et al., 2019)."""
    if not len(right):
        return None
    counts, wrong = _groups(trust, right)
    sizes = counts.astype(np.int64)
    before, gone = (np.repeat(np.cumsum(one) - one, sizes) for one in (counts, wrong))
    covered = np.arange(1, len(right) + 1)
    # The k-th label of a group of equals brings its share of the group's wrong ones.
    risks = (gone + np.repeat(wrong / counts, sizes) * (covered - before)) / covered
    return float(risks.mean())


def coverage_at(trust: Values, right: Values, risk: float) -> float:
    """The largest share of labels whose share of wrong ones is at most `risk`, in order of trust."""
    if not len(right):
        return 0.0
    coverage, error = risk_curve(trust, right)
    fits = np.flatnonzero(error <= risk + 1e-12)
    return float(coverage[fits[-1]]) if len(fits) else 0.0


def auroc(trust: Values, right: Values) -> float | None:
    """The chance that a right label has more trust than a wrong one; ties count half. None: one side only."""
    good = int(right.sum())
    bad = len(right) - good
    if not good or not bad:
        return None
    values, place = np.unique(trust, return_inverse=True)
    counts = np.bincount(place, minlength=len(values))
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return float((ranks[place][right == 1].sum() - good * (good + 1) / 2) / (good * bad))


def expected_calibration_error(confidence: Values, right: Values, num_bins: int = 10) -> float:
    """The mean distance of confidence and accuracy over equal bins, weighted by their size (Naeini, 2015)."""
    return float(
        sum(abs(told - true) * count for told, true, count in reliability(confidence, right, num_bins))
        / max(1, len(right))
    )


def reliability(confidence: Values, right: Values, num_bins: int = 10) -> list[tuple[float, float, int]]:
    """Mean confidence, share right and number of labels of each bin that holds any."""
    bins = np.clip((confidence * num_bins).astype(int), 0, num_bins - 1)
    found = []
    for number in range(num_bins):
        inside = bins == number
        if inside.any():
            found.append((float(confidence[inside].mean()), float(right[inside].mean()), int(inside.sum())))
    return found


def reviewed_until(trust: Values, right: Values, goal: float) -> float:
    """The share of labels to review, least trusted first, until at most `goal` of all are wrong.

    Reviewed labels are right afterwards.
    """
    if not len(right):
        return 0.0
    counts, wrong = _groups(-trust, right)
    left = float((1 - right).sum())
    allowed = goal * len(right)
    reviewed = 0.0
    for count, errors in zip(counts, wrong, strict=True):
        if left <= allowed:
            break
        needed = left - allowed
        # Part of a group of equal trust, in random order, removes its share of wrong labels.
        part = min(1.0, needed / errors) if errors else 1.0
        reviewed += part * count
        left -= part * errors
    return reviewed / len(right)


def _groups(trust: Values, right: Values) -> tuple[Values, Values]:
    """Sizes and numbers of wrong labels of the groups of equal trust, the most trusted first."""
    values, place = np.unique(-np.asarray(trust, dtype=np.float64), return_inverse=True)
    errors = 1.0 - np.asarray(right, dtype=np.float64)
    counts, wrong = np.zeros(len(values)), np.zeros(len(values))
    np.add.at(counts, place, 1.0)
    np.add.at(wrong, place, errors)
    return counts, wrong
