"""Finds a learning rate by a range test: a few steps at growing rates, until the loss grows.

L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", arXiv 1506.01186, section 3.3. The
weights are put back afterwards.
"""

import math
from collections.abc import Callable

import numpy as np
import torch

from fo1_data.errors import RunError
from fo1_data.training.events import RateTried, Watch, ignore
from fo1_data.training.samples.batches import Batches
from fo1_data.training.trainer import Trainer

_LOWEST, _HIGHEST, _STEPS = 1e-5, 1e-1, 40
# So many are made whatever the loss: it differs between images.
_FEWEST_STEPS = 12
# The loss is smoothed over about this many steps: each has other images.
_SMOOTHED_STEPS = 4
# The rate is this part of the one at which the loss stops falling.
_MARGIN = 0.25


def find_learning_rate(
    trainer: Trainer,
    batches: Batches,
    watch: Watch = ignore,
    must_stop: Callable[[], bool] = lambda: False,
) -> float | None:
    """The learning rate to train with; None if the search was stopped. All workers must call it.

    `watch`: called with each rate; `must_stop`: asked before each. Raises RunError if the loss falls at no
    rate.
    """
    before = {name: weight.detach().clone() for name, weight in trainer.trained.items()}
    rates = np.geomspace(_LOWEST, _HIGHEST, _STEPS).tolist()
    smoothed: list[float] = []
    stopped = False
    for number, rate in enumerate(rates):
        stopped = must_stop()
        if stopped:
            break
        try:
            loss = trainer.step(batches.of_step(number), learning_rate=rate)
        except RunError:  # it is not finite any more
            break
        watch(RateTried(number + 1, _STEPS, rate, loss))
        share = 1 / min(number + 1, _SMOOTHED_STEPS)
        smoothed.append(loss if not smoothed else smoothed[-1] + share * (loss - smoothed[-1]))
        if number >= _FEWEST_STEPS and smoothed[-1] > 2 * min(smoothed):
            break
    with torch.no_grad():
        for name, weight in before.items():
            trainer.trained[name].copy_(weight)
    trainer.begin_again()
    if stopped:
        return None
    chosen = chosen_rate(rates, smoothed)
    watch(RateTried(len(smoothed), _STEPS, rates[len(smoothed) - 1], smoothed[-1], chosen))
    return chosen


def chosen_rate(rates: list[float], losses: list[float]) -> float:
    """A part of the rate before the loss was lowest, to two digits. Raises RunError if it never fell.

    `losses`: smoothed, at each rate before its step, so the lowest shows the effect of the rate before.
    """
    if not losses or not min(losses) < 0.99 * losses[0]:
        raise RunError("no learning rate lowers the loss: set learning_rate")
    best = rates[max(0, losses.index(min(losses)) - 1)] * _MARGIN
    return round(best, 1 - math.floor(math.log10(best)))
