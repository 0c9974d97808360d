"""Bounds on the share of wrong labels among accepted ones, from judged images. Needs numpy only.

**What is bounded.** Of image i, n_i labels are accepted and w_i of them are wrong; images are drawn
independently from one population, labels of an image depend on each other in any way. The error is
R = E[w] / E[n], the share of wrong ones among all accepted labels. R <= e is the same as
E[Z] <= 0 with Z_i = w_i - e n_i, and Z_i <= (1 - e) M where at most M labels of an image are accepted.

**Theorem** (testing by betting: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by
betting", JRSS B 2024; Ville's inequality, 1939). Where E[Z] >= 0, the capital
K_t = prod_{i<=t} (1 - v Z_i) with 0 <= v <= 1 / ((1 - e) M) is a nonnegative supermartingale that starts
at 1, and so is a mean of such capitals over several v; so P(max_t K_t >= 1 / p) <= p, and
p = 1 / max_t K_t is a valid p-value of the hypothesis R >= e for every number of images.

**Assumptions.** The judged images are a random sample of the images the bound is used for; M was fixed
without looking at them; which labels of an image were judged does not depend on whether they are wrong.
Nothing is assumed of the confidences: bad ones cost coverage, never the bound.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
# Bets as shares of the largest allowed, down by halves: one of them is near the best for any error.
STAKES = 2.0 ** -np.arange(7)


def p_values(
    wrong: Values, accepted: Values, max_error: float, most_labels: int, stakes: Values | None = None
) -> Values:
    """p-values of "the error is at least `max_error`", one for each rule.

    `wrong`, `accepted`: (rules, images) counts, `accepted` at most `most_labels`; the images in an
    order that does not depend on what was judged. `stakes`: (rules,) the bet of each rule as a share of
    the largest, chosen without these images (None: a mean over all of `STAKES`). No images: 1.
    """
    logs = _log_capitals(wrong - max_error * accepted, 1 / ((1 - max_error) * most_labels), stakes)
    return _p_of(logs)


def best_stakes(wrong: Values, accepted: Values, max_error: float, most_labels: int) -> Values:
    """The bet of each rule, as a share of the largest, that would have won most on these images: (rules,)."""
    logs = _log_capitals(wrong - max_error * accepted, 1 / ((1 - max_error) * most_labels), None)
    if not logs.shape[2]:
        return np.ones(len(wrong))
    best: Values = STAKES[logs.max(axis=2).argmax(axis=0)]
    return best


def error_interval(
    wrong: Values, accepted: Values, most_labels: int, confidence_level: float = 0.9
) -> tuple[float, float]:
    """An interval that holds the error with probability `confidence_level`, valid for every sample size.

    `wrong`, `accepted`: (images,) counts of one rule. The errors that neither of two tests rejects, each
    at half of what is left of the level. Nothing judged: (0, 1).
    """
    if not accepted.sum():
        return 0.0, 1.0
    level = (1 - confidence_level) / 2
    point = float(wrong.sum() / accepted.sum())

    def can_be_so_high(error: float) -> bool:
        return bool(p_values(wrong[None], accepted[None], error, most_labels)[0] > level)

    def can_be_so_low(error: float) -> bool:
        shortfall = (error * accepted - wrong)[None]
        return bool(_p_of(_log_capitals(shortfall, 1 / (error * most_labels), None))[0] > level)

    return 1 - _last(lambda right: can_be_so_low(1 - right), 1 - point), _last(can_be_so_high, point)


def _last(holds: Callable[[float], bool], start: float) -> float:
    """Where, from `start` to 1, something stops to hold, by bisection to a ten-thousandth."""
    low, high = min(max(start, 1e-6), 1 - 1e-6), 1.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return high


def _log_capitals(excess: Values, largest_bet: float, stakes: Values | None) -> Values:
    """Logarithms of the capital after each image that bets against E[excess] >= 0: (bets, rules, images)."""
    shares = STAKES[:, None] if stakes is None else stakes[None]
    # Kept a little below the largest: capital stays above 0, and its logarithm finite.
    bets = shares[:, :, None] * (largest_bet * (1 - 1e-9))
    return np.cumsum(np.log1p(-bets * excess[None]), axis=2)


def _p_of(logs: Values) -> Values:
    """1 / the most that the mean capital over the bets ever came to; (rules,) in (0, 1]."""
    if not logs.shape[2]:
        return np.ones(logs.shape[1])
    peak = logs.max(axis=0)
    capital = peak + np.log(np.exp(logs - peak).mean(axis=0))
    best: Values = np.exp(-np.maximum(capital.max(axis=1), 0.0))
    return best
