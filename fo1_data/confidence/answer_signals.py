"""Signals of an answer itself: they come from the pass that gave it, at no cost. Pure functions.

Regions are told by their index in the prompt; probabilities are of the model's whole vocabulary, but
where a region is chosen they are taken among the prompt's regions not yet named and stopping.
"""

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fo1_data.confidence.signals import FLOOR

if TYPE_CHECKING:
    from fo1_data.model.engine.generation import Generation, RegionStep

_TAG = re.compile(r"<[^<>]*>")
_OPEN, _CLOSE = "<ground>", "</ground>"


def answer_signals(
    generation: "Generation", out_of_range: int = 0, tokens: range | None = None
) -> dict[str, float]:
    """The signals of one answer, or of the stretch `tokens` of it; of regions only where some were chosen."""
    stretch = tokens if tokens is not None else content_tokens(generation)
    logprobs = [max(generation.logprobs[index], FLOOR) for index in stretch]
    steps = [step for step in generation.region_steps if step.step in stretch]
    first = steps[0].step if steps else stretch.start
    values = {
        "logprob_mean": sum(logprobs) / len(logprobs) if logprobs else 0.0,
        "logprob_min": min(logprobs, default=0.0),
        "margin_min": min((generation.margins[index] for index in stretch), default=0.0),
        "entropy_first": generation.entropies[first] if first < len(generation.entropies) else 0.0,
        "num_tokens": float(len(stretch)),
        "truncated": float(not generation.finished),
    }
    weakest = _weakest_word(generation, stretch)
    if weakest is not None:
        values["min_token_position"] = float(weakest)
    if steps:
        values |= _pointing_signals(steps)
        values["out_of_range"] = float(out_of_range)
    return values


def content_tokens(generation: "Generation") -> range:
    """Where the answer's tokens lie, the end of turn left out."""
    return range(len(generation.logprobs) - generation.finished)


def span_tokens(generation: "Generation") -> list[range]:
    """The stretches of a grounded caption, one for each list of regions, each ending with its list."""
    stretches: list[range] = []
    start = 0
    lists = [step.step for step in generation.region_steps]
    for place, step in enumerate(lists):
        if place + 1 == len(lists) or lists[place + 1] != step + 1:
            stretches.append(range(start, step + 1))
            start = step + 1
    return stretches


def chosen_regions(steps: "Sequence[RegionStep]") -> list[int]:
    """The regions that were named, in order, each once."""
    return list(dict.fromkeys(step.chosen for step in steps if step.chosen >= 0))


def region_probabilities(step: "RegionStep", used: set[int]) -> npt.NDArray[np.float64]:
    """(R + 1,) of each region and of stopping, which add up to 1; 0 for a region already named."""
    logprobs = np.append(step.region_logprobs, step.stop_logprob).astype(np.float64)
    logprobs[list(used)] = -np.inf
    largest = logprobs.max()
    if not np.isfinite(largest):
        return np.append(np.zeros(len(logprobs) - 1), 1.0)
    weights = np.exp(logprobs - largest)
    shares: npt.NDArray[np.float64] = weights / weights.sum()
    return shares


def _pointing_signals(steps: "Sequence[RegionStep]") -> dict[str, float]:
    """From the choices made inside `<objects>`: of each region named, and of stopping."""
    least_named, stop_margin, left_out = 1.0, math.inf, 0.0
    used: set[int] = set()
    for place, step in enumerate(steps):
        is_last = place + 1 == len(steps) or steps[place + 1].step != step.step + 1
        probabilities = region_probabilities(step, used)
        if step.chosen >= 0 and step.chosen not in used:
            least_named = min(least_named, float(probabilities[step.chosen]))
        elif step.chosen < 0 and is_last:
            rest = [float(value) for index, value in enumerate(step.region_logprobs) if index not in used]
            stop_margin = min(stop_margin, max(step.stop_logprob, FLOOR) - max([FLOOR, *rest]))
            left_out = max([left_out, *probabilities[:-1].tolist()])
        used = set() if is_last else used | {step.chosen} - {-1}
    return {
        "region_prob_min": least_named,
        "stop_margin": min(stop_margin, -FLOOR),
        "left_out_prob_max": left_out,
        "num_named": float(len(chosen_regions(steps))),
    }


def _weakest_word(generation: "Generation", stretch: range) -> int | None:
    """The index, in the label's text, of the word with the least sure token; None where it is in no word.

    The text of a pointing answer is its phrase, else it is all that was said.
    """
    if not stretch or len(generation.ends) < stretch.stop:
        return None
    weakest = min(stretch, key=lambda index: generation.logprobs[index])
    start = generation.ends[stretch.start - 1] if stretch.start else 0
    said = generation.text[start : generation.ends[stretch.stop - 1]]
    end = generation.ends[weakest] - start
    begin = said.find(_OPEN)
    if begin >= 0:
        begin += len(_OPEN)
        close = said.find(_CLOSE, begin)
        if not begin < end <= (close if close >= 0 else len(said)):
            return None
    last = _TAG.search(said[generation.ends[weakest - 1] - start if weakest > stretch.start else 0 : end])
    words = _TAG.sub(" ", said[max(begin, 0) : end]).split()
    return len(words) - 1 if words and last is None else None
