"""Signals of second questions, asked about an answer that is already there. Pure functions."""

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from fo1_data.confidence.answer_signals import chosen_regions, content_tokens, region_probabilities
from fo1_data.confidence.signals import FLOOR

if TYPE_CHECKING:
    from fo1_data.model.engine.generation import Generation


def ask_back_signals(answer: "Generation", region: int, same: Collection[int] = ()) -> dict[str, float]:
    """From the answer to "detect {caption}", whether it returns the region captioned, and only it.

    `region` and `same` (regions captioned alike, that it may return too) are indices in the prompt.
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
    """From log-probabilities (of "yes"'s letter, of "no"'s) of each order of the letters.

    A softmax over the two letters, averaged over the orders: what a letter is favoured by falls out.
    """
    shares = [_share(max(no, FLOOR), max(yes, FLOOR)) for yes, no in letters]
    absent = sum(shares) / len(shares) if shares else 0.5
    return {"absence_probability": absent, "absence_agreement": 1 - absent if names_regions else absent}


def blind_signals(seen: "Generation", blind: "Generation") -> dict[str, float]:
    """From an answer and the same answer scored while its region's feature could not be seen."""
    stretch = content_tokens(seen)
    drops = [max(seen.logprobs[i], FLOOR) - max(blind.logprobs[i], FLOOR) for i in stretch]
    return {"blind_drop": sum(drops) / len(drops) if drops else 0.0}


def _share(first: float, second: float) -> float:
    return 1 / (1 + math.exp(min(second - first, 700.0)))
