"""The table of all signals: named, finite numbers that show how far a label can be trusted.

Every signal of a label has a row here with its description, range, unit and direction. A label has only the
signals that were measured: second questions are asked only if the first answer looks unsure, and box signals
need a region.

Unbounded numbers are clipped to -100..100. Nothing here loads a model.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from schemas.labels import OPINION_REFUSED, Signal

# Replaces minus infinity, because a signal is finite for every input.
FLOOR = -100.0
_COUNT = 1e6
FEATURES = tuple(f"feature_{index}" for index in range(8))


class SignalSpec(NamedTuple):
    """Range (both ends included), unit, direction (+1: more is surer, -1: more is less sure, 0: neither by
    itself) and description of a signal."""

    low: float
    high: float
    unit: str
    direction: int
    description: str


SIGNALS: dict[str, SignalSpec] = {
    # The answer's tokens, without the end of turn. For a grounded caption, the tokens of the label's span.
    "logprob_mean": SignalSpec(FLOOR, 0, "nats a token", 1, "the tokens' mean log-probability"),
    "logprob_min": SignalSpec(FLOOR, 0, "nats", 1, "the least sure token's log-probability"),
    "margin_min": SignalSpec(0, -FLOOR, "nats", 1, "the smallest lead of a token over the second choice"),
    "entropy_first": SignalSpec(
        0, -FLOOR, "nats", -1, "the entropy of the first token, or of the first region chosen"
    ),
    "num_tokens": SignalSpec(0, _COUNT, "tokens", 0, "the answer's length"),
    "truncated": SignalSpec(0, 1, "no or yes", -1, "the answer was cut off at the token limit"),
    "min_token_position": SignalSpec(
        0, _COUNT, "index of a word", 0, "which word of the label's text holds its least sure token"
    ),
    # Answers that point at regions.
    "region_prob_min": SignalSpec(
        0, 1, "probability", 1, "the least sure named region, over the prompt's regions and stopping"
    ),
    "stop_margin": SignalSpec(FLOOR, -FLOOR, "nats", 1, "stopping's lead over the best region left out"),
    "left_out_prob_max": SignalSpec(0, 1, "probability", -1, "the best region left out when it stopped"),
    "out_of_range": SignalSpec(0, _COUNT, "indices", -1, "regions named that do not exist"),
    "num_named": SignalSpec(0, _COUNT, "regions", 0, "regions named"),
    # The box; if the label names several boxes, the most doubtful value of each signal.
    "objectness": SignalSpec(0, 1, "score", 1, "the proposer's score; boxes of the corpus have none"),
    "area_share": SignalSpec(0, 1, "share of the image", 1, "the box's area"),
    "overlap_max": SignalSpec(0, 1, "IoU", -1, "the largest overlap with another region"),
    "border_sides": SignalSpec(0, 4, "sides", -1, "sides of the box that lie on the image's border"),
    # Another answer about the same regions: for detections, groundings and counts, if the run also labels
    # brief captions.
    "caption_agreement": SignalSpec(
        0, 1, "share of words", 1, "the share of the phrase's words in a named region's caption, the smallest"
    ),
    "caption_elsewhere": SignalSpec(
        0,
        1,
        "share of words",
        -1,
        "the share of the phrase's words in an unnamed region's caption, the largest",
    ),
    "captions_left_out": SignalSpec(
        0, _COUNT, "regions", -1, "unnamed regions whose captions contain all of the phrase's words"
    ),
    # A thing in a video, of which several frames were asked.
    "track_agreement": SignalSpec(
        0, 1, "share", 1, "the share of the keyframes' weight that says the same of the thing"
    ),
    "track_keyframes": SignalSpec(0, _COUNT, "frames", 0, "keyframes that were asked about the thing"),
    # Second questions.
    "ask_back_hit": SignalSpec(0, 1, "no or yes", 1, "detecting the caption's text returns its region"),
    "ask_back_others": SignalSpec(
        0, _COUNT, "regions", -1, "other returned regions whose own caption is different"
    ),
    "ask_back_probability": SignalSpec(
        0, 1, "probability", 1, "the region's largest probability, over the prompt's regions and stopping"
    ),
    "absence_probability": SignalSpec(
        0, 1, "probability", 0, "that the phrase is not in the image, by a multiple-choice question"
    ),
    "absence_agreement": SignalSpec(
        0,
        1,
        "probability",
        1,
        "that the phrase is in the image if regions are named, and that it is not if none is",
    ),
    "blind_drop": SignalSpec(
        FLOOR, -FLOOR, "nats a token", 1, "the caption's loss of log-probability with its region hidden"
    ),
    # Another model, if the run has one.
    "second_opinion": SignalSpec(
        0,
        1,
        "share of words",
        1,
        "how far a second model, asked about the region, says the same; of several regions, the smallest",
    ),
    OPINION_REFUSED: SignalSpec(
        0, _COUNT, "pictures", 0, "pictures of its regions that the second model gave no answer to"
    ),
    # For a varied review, never for trust: a fixed random projection of the region's feature.
    **{name: SignalSpec(FLOOR, -FLOOR, "-", 0, "a coordinate of the region's look") for name in FEATURES},
}


def as_signals(values: Mapping[str, float]) -> list[Signal]:
    """Named numbers as signals, each clipped to its range. Raises KeyError if a name is not in the table."""
    return [Signal(name=name, value=_bounded(name, value)) for name, value in values.items()]


def most_doubtful(tables: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The signals of a whole from those of its parts: of each signal the least sure value.

    Signals without a direction are taken from the first part that has them.
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
    """The value clipped to the signal's range; infinite values count as +-100, NaN as 0."""
    if math.isnan(value):
        value = 0.0
    elif math.isinf(value):
        value = math.copysign(FLOOR, value)
    return min(max(value, SIGNALS[name].low), SIGNALS[name].high)
