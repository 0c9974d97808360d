"""Signals of an answer itself. They come from the pass that generated it, at no cost. Pure functions.

Regions are given by their index in the prompt. Token probabilities are over the model's whole vocabulary.
At a step that chooses a region, probabilities are over the regions not yet named and stopping.
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
    """The signals of one answer, or of the part `tokens` of it.

    `out_of_range`: how many region indices of the answer do not exist. Region signals are present only if
    the part chooses regions.
    """
    span = tokens if tokens is not None else content_tokens(generation)
    logprobs = [max(generation.logprobs[index], FLOOR) for index in span]
    steps = [step for step in generation.region_steps if step.step in span]
    first = steps[0].step if steps else span.start
    values = {
        "logprob_mean": sum(logprobs) / len(logprobs) if logprobs else 0.0,
        "logprob_min": min(logprobs, default=0.0),
        "margin_min": min((generation.margins[index] for index in span), default=0.0),
        "entropy_first": generation.entropies[first] if first < len(generation.entropies) else 0.0,
        "num_tokens": float(len(span)),
        "truncated": float(not generation.finished),
    }
    weakest = _weakest_word(generation, span)
    if weakest is not None:
        values["min_token_position"] = float(weakest)
    if steps:
        values |= _pointing_signals(steps)
        values["out_of_range"] = float(out_of_range)
    return values


def content_tokens(generation: "Generation") -> range:
    """The positions of the answer's tokens, without the end of turn."""
    return range(len(generation.logprobs) - generation.finished)


def span_tokens(generation: "Generation") -> list[range]:
    """The token spans of a grounded caption, one for each list of regions; a span ends with its list."""
    spans: list[range] = []
    start = 0
    region_steps = [step.step for step in generation.region_steps]
    for index, step in enumerate(region_steps):
        if index + 1 == len(region_steps) or region_steps[index + 1] != step + 1:
            spans.append(range(start, step + 1))
            start = step + 1
    return spans


def chosen_regions(steps: "Sequence[RegionStep]") -> list[int]:
    """The regions that were named, in order, without repeats."""
    return list(dict.fromkeys(step.chosen for step in steps if step.chosen >= 0))


def region_probabilities(step: "RegionStep", used: set[int]) -> npt.NDArray[np.float64]:
    """(R + 1,) the probability of each region and, last, of stopping. They add up to 1.

    `used`: regions already named; their probability is 0.
    """
    logprobs = np.append(step.region_logprobs, step.stop_logprob).astype(np.float64)
    logprobs[list(used)] = -np.inf
    largest = logprobs.max()
    if not np.isfinite(largest):
        return np.append(np.zeros(len(logprobs) - 1), 1.0)
    weights = np.exp(logprobs - largest)
    shares: npt.NDArray[np.float64] = weights / weights.sum()
    return shares


def _pointing_signals(steps: "Sequence[RegionStep]") -> dict[str, float]:
    """Signals of the choices inside `<objects>`: each named region, and each stop at the end of a list."""
    least_named, stop_margin, left_out = 1.0, math.inf, 0.0
    used: set[int] = set()
    for index, step in enumerate(steps):
        is_last = index + 1 == len(steps) or steps[index + 1].step != step.step + 1
        probabilities = region_probabilities(step, used)
        if step.chosen >= 0 and step.chosen not in used:
            least_named = min(least_named, float(probabilities[step.chosen]))
        elif step.chosen < 0 and is_last:
            rest = [float(value) for region, value in enumerate(step.region_logprobs) if region not in used]
            stop_margin = min(stop_margin, max(step.stop_logprob, FLOOR) - max([FLOOR, *rest]))
            left_out = max([left_out, *probabilities[:-1].tolist()])
        used = set() if is_last else used | {step.chosen} - {-1}
    return {
        "region_prob_min": least_named,
        "stop_margin": min(stop_margin, -FLOOR),
        "left_out_prob_max": left_out,
        "num_named": float(len(chosen_regions(steps))),
    }


def _weakest_word(generation: "Generation", span: range) -> int | None:
    """The index, in the label's text, of the word with the least sure token; None if that is in no word.

    The label's text is the phrase of a pointing answer, and the whole answer otherwise.
    """
    if not span or len(generation.ends) < span.stop:
        return None
    weakest = min(span, key=lambda index: generation.logprobs[index])
    start = generation.ends[span.start - 1] if span.start else 0
    text = generation.text[start : generation.ends[span.stop - 1]]
    end = generation.ends[weakest] - start
    phrase_start = text.find(_OPEN)
    if phrase_start >= 0:
        phrase_start += len(_OPEN)
        phrase_end = text.find(_CLOSE, phrase_start)
        if not phrase_start < end <= (phrase_end if phrase_end >= 0 else len(text)):
            return None
    tag = _TAG.search(text[generation.ends[weakest - 1] - start if weakest > span.start else 0 : end])
    words = _TAG.sub(" ", text[max(phrase_start, 0) : end]).split()
    return len(words) - 1 if words and tag is None else None
