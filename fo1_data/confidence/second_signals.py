"""Signals from second questions: questions that check an earlier answer. Pure functions, no model."""

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from fo1_data.confidence.answer_signals import chosen_regions, content_tokens, region_probabilities
from fo1_data.confidence.signals import FLOOR

if TYPE_CHECKING:
    from fo1_data.model.engine.generation import Generation


def ask_back_signals(answer: "Generation", region: int, same: Collection[int] = ()) -> dict[str, float]:
    """From the answer to "detect {caption}": whether it returns the captioned region, and only that region.

    `region`: index in the prompt of the captioned region. `same`: indices of regions with the same
    caption, which the answer may return too.
    """
    used: set[int] = set()
    likeliest = 0.0
    for step in answer.region_steps:
        if region in used:
            break
        if region < len(step.region_logprobs):
            likeliest = max(likeliest, float(region_probabilities(step, used)[region]))
        if step.chosen >= 0:
            used.add(step.chosen)
    returned = chosen_regions(answer.region_steps)
    return {
        "ask_back_hit": float(region in returned),
        "ask_back_others": float(len(set(returned) - {region} - set(same))),
        "ask_back_probability": likeliest,
    }


def absence_signals(letters: Sequence[tuple[float, float]], names_regions: bool) -> dict[str, float]:
    """From the answers to a multiple-choice question "is the phrase in the image?".

    `letters`: for each order of the choices, the log-probabilities (letter of "yes", letter of "no").
    A softmax over the two letters is averaged over the orders, which cancels a preference for a letter.
    """
    probabilities = [_softmax_of_two(max(no, FLOOR), max(yes, FLOOR)) for yes, no in letters]
    absent = sum(probabilities) / len(probabilities) if probabilities else 0.5
    return {"absence_probability": absent, "absence_agreement": 1 - absent if names_regions else absent}


def blind_signals(seen: "Generation", blind: "Generation") -> dict[str, float]:
    """From an answer (`seen`) and the same tokens scored with the region's feature hidden (`blind`)."""
    drops = [max(seen.logprobs[i], FLOOR) - max(blind.logprobs[i], FLOOR) for i in content_tokens(seen)]
    return {"blind_drop": sum(drops) / len(drops) if drops else 0.0}


def _softmax_of_two(first: float, second: float) -> float:
    """The probability of the first of two log-probabilities, normalised over both."""
    return 1 / (1 + math.exp(min(second - first, 700.0)))
