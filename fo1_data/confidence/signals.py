"""Signals: named, finite numbers that tell how far a label can be trusted. The table of all of them.

Every signal of a label is a row here: what it says, its range and unit, and whether more means surer
(+1), less sure (-1) or neither by itself (0). A signal that was not measured is not there: second
questions are asked only where the first answer looks unsure, and box signals need a region.

Unbounded numbers are kept within -100 and 100. Nothing here loads a model.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from schemas.labels import Signal

# Stands for minus infinity: a signal is finite for every input.
FLOOR = -100.0
_COUNT = 1e6
FEATURES = tuple(f"feature_{index}" for index in range(8))


class Meaning(NamedTuple):
    """Range (both ends may be taken), unit, direction (+1: more is surer, -1: less sure, 0: neither)."""

    low: float
    high: float
    unit: str
    direction: int
    says: str


SIGNALS: dict[str, Meaning] = {
    # The answer's tokens, the end of turn left out. Of a grounded caption: the tokens of the label's span.
    "logprob_mean": Meaning(FLOOR, 0, "nats a token", 1, "the tokens' mean log-probability"),
    "logprob_min": Meaning(FLOOR, 0, "nats", 1, "the least sure token's log-probability"),
    "margin_min": Meaning(0, -FLOOR, "nats", 1, "the least lead of a token over the runner-up"),
    "entropy_first": Meaning(0, -FLOOR, "nats", -1, "how spread out the first content token's choice was"),
    "num_tokens": Meaning(0, _COUNT, "tokens", 0, "the answer's length"),
    "truncated": Meaning(0, 1, "no or yes", -1, "the token limit cut the answer off"),
    "min_token_position": Meaning(
        0, _COUNT, "index of a word", 0, "which word of the label's text holds its least sure token"
    ),
    # Answers that point at regions.
    "region_prob_min": Meaning(
        0, 1, "probability", 1, "the least sure region named, among this prompt's regions and stopping"
    ),
    "stop_margin": Meaning(FLOOR, -FLOOR, "nats", 1, "stopping's lead over the best region left out"),
    "left_out_prob_max": Meaning(0, 1, "probability", -1, "the best region left out when it stopped"),
    "out_of_range": Meaning(0, _COUNT, "indices", -1, "regions named that do not exist"),
    "num_named": Meaning(0, _COUNT, "regions", 0, "regions named"),
    # The box, or of several named boxes the most doubtful one.
    "objectness": Meaning(0, 1, "score", 1, "the proposer's score; given boxes have none"),
    "area_share": Meaning(0, 1, "share of the image", 1, "the box's area"),
    "overlap_max": Meaning(0, 1, "IoU", -1, "the largest overlap with another region"),
    "border_sides": Meaning(0, 4, "sides", -1, "sides of the box that lie on the image's border"),
    # Another answer about the same regions: of detections, groundings and counts, where brief captions were
    # asked for too.
    "caption_agreement": Meaning(
        0, 1, "share of words", 1, "the phrase's words in the caption, of the named region where it is least"
    ),
    "caption_elsewhere": Meaning(
        0,
        1,
        "share of words",
        -1,
        "the phrase's words in the caption, of the region not named where it is most",
    ),
    "captions_left_out": Meaning(
        0, _COUNT, "regions", -1, "regions not named whose captions hold all of the phrase's words"
    ),
    # Second questions.
    "ask_back_hit": Meaning(0, 1, "no or yes", 1, "detecting the caption's text returns its region"),
    "ask_back_others": Meaning(
        0, _COUNT, "regions", -1, "other regions it returns whose own caption says something else"
    ),
    "ask_back_probability": Meaning(
        0, 1, "probability", 1, "the region's, among the prompt's regions and stopping, where it is likeliest"
    ),
    "absence_probability": Meaning(
        0, 1, "probability", 0, "that the phrase is not in the image, by a multiple-choice question"
    ),
    "absence_agreement": Meaning(
        0,
        1,
        "probability",
        1,
        "that the phrase is there where regions are named, that it is not where none is",
    ),
    "blind_drop": Meaning(
        FLOOR, -FLOOR, "nats a token", 1, "what the caption loses when its region's feature cannot be seen"
    ),
    # For the spread of what is reviewed, never for trust: a fixed random projection of the region's feature.
    **{name: Meaning(FLOOR, -FLOOR, "-", 0, "a coordinate of the region's look") for name in FEATURES},
}


def finite(value: float) -> float:
    """A number as it is, or the nearest bound where it is infinite or no number."""
    if math.isnan(value):
        return 0.0
    return min(max(value, FLOOR), -FLOOR) if math.isinf(value) else value


def as_signals(values: Mapping[str, float]) -> list[Signal]:
    """Named numbers as signals, each brought into its range; KeyError for a name without a row above."""
    return [Signal(name=name, value=_bounded(name, value)) for name, value in values.items()]


def most_doubtful(tables: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Signals of several parts as those of the whole: of each the value that means least sure.

    Those without a direction are the first part's. Empty for no parts.
    """
    joined: dict[str, float] = {}
    for table in tables:
        for name, value in table.items():
            direction = SIGNALS[name].direction
            if name not in joined:
                joined[name] = value
            elif direction:
                joined[name] = min(joined[name] * direction, value * direction) * direction
    return joined


def _bounded(name: str, value: float) -> float:
    meaning = SIGNALS[name]
    return min(max(finite(value), meaning.low), meaning.high)
