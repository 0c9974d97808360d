"""The result of a question: the greedy answer and, from the same passes, the certainty of each token.

All probabilities come from the model's softmax over the whole vocabulary; logarithms are natural.
"""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class RegionStep:
    """A choice inside `<objects>`: the next region, or the end of the list.

    step: index of the chosen token in the answer. region_logprobs: (R,) float32, log-probabilities of the R
    regions of the prompt. stop_logprob: log-probability of `</objects>`. chosen: index of the chosen region,
    or -1 if the token is not a region of the prompt.
    """

    step: int
    region_logprobs: np.ndarray
    stop_logprob: float
    chosen: int = -1


@dataclass
class Generation:
    """A greedy answer, or a forced answer that was scored.

    token_ids: the answer. It ends with the end of turn (or the question's stop token) unless `finished` is
        False, which means that it reached the token limit. The first `num_forced` tokens were forced.
    logprobs: the log-probability of each token.
    margins: each token's log-probability less that of the best other token; at least 0 for a chosen token.
    entropies: the entropy of the distribution at each step, in nats.
    region_steps: the choices inside `<objects>`, in order.
    watched_logprobs: log-probabilities of the question's `watched_ids` at its first chosen token.
    ends: for each token, the length in characters of `text` up to and with it; the end of turn adds none.
    """

    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    margins: list[float] = field(default_factory=list)
    entropies: list[float] = field(default_factory=list)
    region_steps: list[RegionStep] = field(default_factory=list)
    finished: bool = False
    num_forced: int = 0
    watched_logprobs: list[float] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    text: str = ""
