"""Figures of a trust score: how well it ranks right labels above wrong ones, and how well it is calibrated.

All functions take (labels,) arrays: `trust` (any unit, more means likelier right), `confidence` (0 to 1) and
`right` (0 or 1). Errors, risks and coverages are shares, 0 to 1. Labels of equal trust count as drawn in
random order, so that no figure depends on the order of labels.
"""

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
RISKS = (0.01, 0.02, 0.05, 0.1)


def risk_curve(trust: Values, right: Values) -> tuple[Values, Values]:
    """Coverage and the share of wrong labels in it, after each group of equal trust, most trusted first."""
    counts, wrong = _groups(trust, right)
    covered = np.cumsum(counts)
    return covered / max(1, len(right)), np.cumsum(wrong) / covered


def aurc(trust: Values, right: Values) -> float | None:
    """Area under the risk-coverage curve: the mean error over all coverages (Geifman et al., 2019).

    None without labels.
    """
    if not len(right):
        return None
    counts, wrong = _groups(trust, right)
    sizes = counts.astype(np.int64)
    before, wrong_before = (np.repeat(np.cumsum(sums) - sums, sizes) for sums in (counts, wrong))
    covered = np.arange(1, len(right) + 1)
    # Each label of a group of equal trust adds the group's share of wrong labels.
    risks = (wrong_before + np.repeat(wrong / counts, sizes) * (covered - before)) / covered
    return float(risks.mean())


def coverage_at(trust: Values, right: Values, risk: float) -> float:
    """The largest coverage, in order of trust, at which the share of wrong labels is at most `risk`."""
    if not len(right):
        return 0.0
    coverage, error = risk_curve(trust, right)
    within = np.flatnonzero(error <= risk + 1e-12)
    return float(coverage[within[-1]]) if len(within) else 0.0


def auroc(trust: Values, right: Values) -> float | None:
    """The probability that a right label has more trust than a wrong one; ties count half.

    None unless there are both right and wrong labels.
    """
    num_right = int(right.sum())
    num_wrong = len(right) - num_right
    if not num_right or not num_wrong:
        return None
    values, group = np.unique(trust, return_inverse=True)
    counts = np.bincount(group, minlength=len(values))
    ranks = np.cumsum(counts) - (counts - 1) / 2
    pairs_won = ranks[group][right == 1].sum() - num_right * (num_right + 1) / 2
    return float(pairs_won / (num_right * num_wrong))


def expected_calibration_error(confidence: Values, right: Values, num_bins: int = 10) -> float:
    """The mean distance of confidence and accuracy over equal bins, weighted by bin size (Naeini, 2015)."""
    bins = reliability(confidence, right, num_bins)
    return float(sum(abs(mean - accuracy) * count for mean, accuracy, count in bins) / max(1, len(right)))


def reliability(confidence: Values, right: Values, num_bins: int = 10) -> list[tuple[float, float, int]]:
    """(mean confidence, share right, number of labels) of each bin that is not empty."""
    bin_of = np.clip((confidence * num_bins).astype(int), 0, num_bins - 1)
    bins = []
    for number in range(num_bins):
        inside = bin_of == number
        if inside.any():
            bins.append((float(confidence[inside].mean()), float(right[inside].mean()), int(inside.sum())))
    return bins


def reviewed_until(trust: Values, right: Values, goal: float) -> float:
    """The share of labels to review, least trusted first, until at most the share `goal` of all is wrong.

    A review is assumed to make a label right.
    """
    if not len(right):
        return 0.0
    counts, wrong = _groups(-trust, right)
    remaining = float((1 - right).sum())
    allowed = goal * len(right)
    reviewed = 0.0
    for count, errors in zip(counts, wrong, strict=True):
        if remaining <= allowed:
            break
        # Reviewing a part of a group of equal trust removes that part of its wrong labels.
        part = min(1.0, (remaining - allowed) / errors) if errors else 1.0
        reviewed += part * count
        remaining -= part * errors
    return reviewed / len(right)


def _groups(trust: Values, right: Values) -> tuple[Values, Values]:
    """The size, and the number of wrong labels, of each group of equal trust, the most trusted first."""
    values, group = np.unique(-np.asarray(trust, dtype=np.float64), return_inverse=True)
    errors = 1.0 - np.asarray(right, dtype=np.float64)
    counts, wrong = np.zeros(len(values)), np.zeros(len(values))
    np.add.at(counts, group, 1.0)
    np.add.at(wrong, group, errors)
    return counts, wrong
