"""Whether a label is unsure enough to ask a second question, judged by signals of the first answer alone."""

import math
from collections.abc import Mapping


def least_probability(signals: Mapping[str, float]) -> float:
    """The probability, 0 to 1, of the least sure part of an answer.

    It is the smallest of: the probability of the weakest token, the probability of the weakest named
    region, and the probability that no region was left out. A missing signal counts as sure.
    """
    return min(
        math.exp(min(signals.get("logprob_min", 0.0), 0.0)),
        signals.get("region_prob_min", 1.0),
        1.0 - signals.get("left_out_prob_max", 0.0),
    )


def is_unsure(signals: Mapping[str, float], below: float) -> bool:
    """Whether the least sure part of an answer is less probable than `below`; 1: always, 0: never.

    An answer that was cut off at the token limit is unsure unless `below` is 0.
    """
    if below >= 1:
        return True
    return below > 0 and (least_probability(signals) < below or signals.get("truncated", 0.0) > 0)
