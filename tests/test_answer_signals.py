"""Signals are finite, in their ranges, and tell about regions only where regions were chosen."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fo1_data.confidence.signals import answer_signals
from fo1_data.model.generation import Generation, RegionStep

logprobs = st.one_of(st.floats(-80, 0), st.just(-math.inf))


@st.composite
def generations(draw: st.DrawFn) -> Generation:
    length = draw(st.integers(0, 8))
    numbers = st.lists(logprobs, min_size=length, max_size=length)
    chosen = draw(numbers)
    steps = []
    for step in range(length):
        if draw(st.booleans()):
            over = np.array(draw(st.lists(logprobs, max_size=5)), dtype=np.float32)
            stop = chosen[step] if draw(st.booleans()) else draw(logprobs)
            steps.append(RegionStep(step, over, stop))
    return Generation(
        token_ids=list(range(length)),
        logprobs=chosen,
        margins=[abs(value) for value in draw(numbers)],
        entropies=[1.0] * length,
        region_steps=steps,
        finished=draw(st.booleans()) and length > 0,
    )


@given(generation=generations(), out_of_range=st.integers(0, 5))
def test_signals_are_finite_and_in_range(generation: Generation, out_of_range: int) -> None:
    values = {signal.name: signal.value for signal in answer_signals(generation, out_of_range)}

    assert all(math.isfinite(value) for value in values.values())
    assert values["logprob_mean"] <= 0
    assert values["logprob_min"] <= values["logprob_mean"] or values["num_tokens"] == 0
    assert ("stop_margin" in values) == bool(generation.region_steps)
    for name in ("region_prob_min", "left_out_prob_max", "truncated"):
        assert 0 <= values.get(name, 0.0) <= 1 + 1e-6


def test_a_sure_choice_looks_sure() -> None:
    sure = Generation(
        token_ids=[1, 2, 3],
        logprobs=[-0.01, -0.01, -0.01],
        margins=[5.0, 5.0, 5.0],
        entropies=[0.1, 0.1, 0.1],
        region_steps=[
            RegionStep(0, np.array([-0.01, -6.0], np.float32), -7.0),
            RegionStep(1, np.array([-9.0, -6.0], np.float32), -0.01),
        ],
        finished=True,
    )
    values = {signal.name: signal.value for signal in answer_signals(sure)}
    assert values["region_prob_min"] > 0.99
    assert values["stop_margin"] > 5
    assert values["left_out_prob_max"] < 0.01
