"""Which labels are unsure enough for a second question: decided by the signals that cost nothing."""

import math
from collections.abc import Mapping


def least_probability(signals: Mapping[str, float]) -> float:
    """The probability, 0 to 1, of the least sure thing that an answer says.

    The least of: its weakest token, the weakest region named, that no region was left out.
    """
    return min(
        math.exp(min(signals.get("logprob_min", 0.0), 0.0)),
        signals.get("region_prob_min", 1.0),
        1.0 - signals.get("left_out_prob_max", 0.0),
    )


def is_unsure(signals: Mapping[str, float], below: float) -> bool:
    """Whether the least sure thing said is less probable than `below`; 1: always, 0: never.

    An answer that the token limit cut off is unsure.
    """
    if below >= 1:
        return True
    return below > 0 and (least_probability(signals) < below or signals.get("truncated", 0.0) > 0)
