"""What a question gives back: the greedy answer and, from the same pass, how sure each token was.

All probabilities are of the model's softmax over the whole vocabulary, natural logarithms.
"""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class RegionStep:
    """One choice inside `<objects>`: which region next, or none more.

    step: index of the chosen token in the answer; region_logprobs: (R,) float32 for the prompt's R
    regions; stop_logprob: of `</objects>`; chosen: the region that was named, -1 where none of the
    prompt's was.
    """

    step: int
    region_logprobs: np.ndarray
    stop_logprob: float
    chosen: int = -1


@dataclass
class Generation:
    """A greedy answer, or one that was given to be scored.

    token_ids ends with the end of turn unless `finished` is False (the token limit was reached). The
    first `num_forced` tokens were given, not chosen. logprobs: of each token; margins: to the best other
    token, at least 0 for a chosen one; entropies: of each step's whole distribution, in nats.
    watched_logprobs: log-probabilities of the tokens that the question watches, at its first chosen token.
    ends: how many characters of `text` each token ends with, the end of turn none of its own.
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
