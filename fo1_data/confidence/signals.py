"""Signals: named, finite numbers that come with an answer at no cost. Pure functions.

| name | range | unit | more means |
| --- | --- | --- | --- |
| `logprob_mean` | at most 0 | nats a token | surer of the whole answer |
| `logprob_min` | at most 0 | nats | surer of its weakest token |
| `margin_min` | 0 and up | nats | farther from another answer |
| `entropy_first` | 0 and up | nats | less sure of its first token |
| `num_tokens` | 0 and up | tokens | longer |
| `truncated` | 0 or 1 | - | the token limit cut it off |
| `region_prob_min` | 0 to 1 | probability | surer of the regions named, among this prompt's regions |
| `stop_margin` | any | nats | surer that no region is missing: stopping against the best one left out |
| `left_out_prob_max` | 0 to 1 | probability | likelier that a region was left out |
| `out_of_range` | 0 and up | indices | more regions named that do not exist |
"""

import math
from typing import TYPE_CHECKING

from schemas.labels import Signal

if TYPE_CHECKING:
    from fo1_data.model.generation import Generation

# Stands for minus infinity: a signal is finite for every input.
FLOOR = -100.0


def answer_signals(generation: "Generation", out_of_range: int = 0) -> list[Signal]:
    """The signals of one answer; those about regions only where it chose among regions."""
    content = generation.logprobs[:-1] if generation.finished else generation.logprobs
    margins = generation.margins[: len(content)]
    values = {
        "logprob_mean": sum(content) / len(content) if content else 0.0,
        "logprob_min": min(content, default=0.0),
        "margin_min": min(margins, default=0.0),
        "entropy_first": generation.entropies[0] if generation.entropies else 0.0,
        "num_tokens": float(len(content)),
        "truncated": float(not generation.finished),
    }
    if generation.region_steps:
        values |= _pointing_signals(generation)
        values["out_of_range"] = float(out_of_range)
    return [Signal(name=name, value=finite(value)) for name, value in values.items()]


def finite(value: float) -> float:
    """A number as it is, or the nearest bound where it is infinite or no number."""
    if math.isnan(value):
        return 0.0
    return min(max(value, FLOOR), -FLOOR) if math.isinf(value) else value


def _pointing_signals(generation: "Generation") -> dict[str, float]:
    """From the choices made inside `<objects>`: of each region named, and of the stop."""
    named_prob, stop_margin, left_out = 1.0, math.inf, 0.0
    used: set[int] = set()
    for step in generation.region_steps:
        logprobs = step.region_logprobs
        chosen = generation.logprobs[step.step]
        others = [float(value) for index, value in enumerate(logprobs) if index not in used]
        best = max(others, default=FLOOR)
        stops = math.isclose(step.stop_logprob, chosen, abs_tol=1e-6) and step.stop_logprob >= best
        if stops:
            stop_margin = min(stop_margin, step.stop_logprob - best)
            left_out = max(left_out, math.exp(best))
            used = set()
            continue
        total = sum(math.exp(value) for value in others) + math.exp(step.stop_logprob)
        named_prob = min(named_prob, math.exp(best) / total if total > 0 else 0.0)
        if others:
            used.add(int(logprobs.argmax()))
    return {"region_prob_min": named_prob, "stop_margin": stop_margin, "left_out_prob_max": left_out}
