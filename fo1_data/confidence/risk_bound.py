"""Bounds on the share of wrong labels among the accepted ones, from judged images. Needs numpy only.

**What is bounded.** In image i, n_i labels are accepted and w_i of them are wrong. Images are drawn
independently from one population; the labels of an image may depend on each other in any way. The error is
R = E[w] / E[n], the share of wrong labels among all accepted labels. R <= e is equivalent to
E[Z] <= 0 with Z_i = w_i - e n_i, and Z_i <= (1 - e) M if at most M labels of an image are accepted.

**Theorem** (testing by betting: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by
betting", JRSS B 2024; Ville's inequality, 1939). If E[Z] >= 0, the capital
K_t = prod_{i<=t} (1 - v Z_i) with 0 <= v <= 1 / ((1 - e) M) is a nonnegative supermartingale that starts
at 1, and so is a mean of such capitals over several v. Therefore P(max_t K_t >= 1 / p) <= p, and
p = 1 / max_t K_t is a valid p-value of the hypothesis R >= e for every number of images.

**Assumptions.** The judged images are a random sample of the images that the bound is used for; M was fixed
without looking at them; every label of a judged image that the rule accepts is judged or counts as wrong.
Nothing is assumed about the confidences: bad confidences cost coverage, never the bound.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
# Bets as shares of the largest allowed bet, each half of the last: one is near the best for any error.
STAKES = 2.0 ** -np.arange(7)


def p_values(
    wrong: Values, accepted: Values, max_error: float, most_labels: int, stakes: Values | None = None
) -> Values:
    """p-values of the hypothesis "the error is at least `max_error`", one for each rule; 1 without images.

    `wrong`, `accepted`: (rules, images) counts, `accepted` at most `most_labels`. The order of the images
    must not depend on the verdicts. `stakes`: (rules,) the bet of each rule as a share of the largest
    allowed bet, chosen without these images (None: the mean over all of `STAKES`).
    """
    logs = _log_capitals(wrong - max_error * accepted, 1 / ((1 - max_error) * most_labels), stakes)
    return _p_values_from(logs)


def best_stakes(wrong: Values, accepted: Values, max_error: float, most_labels: int) -> Values:
    """(rules,) the bet of each rule, as a share of the largest, that would have won most on these images."""
    logs = _log_capitals(wrong - max_error * accepted, 1 / ((1 - max_error) * most_labels), None)
    if not logs.shape[2]:
        return np.ones(len(wrong))
    best: Values = STAKES[logs.max(axis=2).argmax(axis=0)]
    return best


def error_interval(
    wrong: Values, accepted: Values, most_labels: int, confidence_level: float = 0.9
) -> tuple[float, float]:
    """An interval that holds the error with probability `confidence_level`, valid for every sample size.

    `wrong`, `accepted`: (images,) counts of one rule. The interval holds the errors that neither of two
    one-sided tests rejects, each at level (1 - `confidence_level`) / 2. Without judged labels: (0, 1).
    """
    if not accepted.sum():
        return 0.0, 1.0
    level = (1 - confidence_level) / 2
    point = float(wrong.sum() / accepted.sum())

    def may_be_as_high_as(error: float) -> bool:
        return bool(p_values(wrong[None], accepted[None], error, most_labels)[0] > level)

    def may_be_as_low_as(error: float) -> bool:
        shortfall = (error * accepted - wrong)[None]
        return bool(_p_values_from(_log_capitals(shortfall, 1 / (error * most_labels), None))[0] > level)

    low = 1 - _bisect(lambda accuracy: may_be_as_low_as(1 - accuracy), 1 - point)
    return low, _bisect(may_be_as_high_as, point)


def _bisect(holds: Callable[[float], bool], start: float) -> float:
    """The value between `start` and 1 at which `holds` turns false, to within 1e-4."""
    low, high = min(max(start, 1e-6), 1 - 1e-6), 1.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return high


def _log_capitals(excess: Values, largest_bet: float, stakes: Values | None) -> Values:
    """(bets, rules, images) the log of the capital after each image, betting against E[excess] >= 0."""
    shares = STAKES[:, None] if stakes is None else stakes[None]
    # Slightly below the largest bet: the capital stays above 0 and its logarithm finite.
    bets = shares[:, :, None] * (largest_bet * (1 - 1e-9))
    return np.cumsum(np.log1p(-bets * excess[None]), axis=2)


def _p_values_from(logs: Values) -> Values:
    """(rules,) in (0, 1]: 1 / the largest mean capital over the bets after any image."""
    if not logs.shape[2]:
        return np.ones(logs.shape[1])
    peak = logs.max(axis=0)
    capital = peak + np.log(np.exp(logs - peak).mean(axis=0))
    best: Values = np.exp(-np.maximum(capital.max(axis=1), 0.0))
    return best
