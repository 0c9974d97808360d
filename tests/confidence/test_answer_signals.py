"""Signals are finite and in range; region signals are present only if the answer chooses regions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fo1_data.confidence.answer_signals import (
    answer_signals,
    chosen_regions,
    content_tokens,
    region_probabilities,
    span_tokens,
)
from fo1_data.confidence.cascade import is_unsure, least_probability
from fo1_data.confidence.second_signals import absence_signals, ask_back_signals, blind_signals
from fo1_data.confidence.signals import SIGNALS, as_signals, most_doubtful
from fo1_data.model.engine.compact_features import NUM_FEATURES
from fo1_data.model.engine.generation import Generation, RegionStep

logprobs = st.one_of(st.floats(-80, 0), st.just(-math.inf))


@st.composite
def generations(draw: st.DrawFn) -> Generation:
    length = draw(st.integers(0, 8))
    numbers = st.lists(logprobs, min_size=length, max_size=length)
    num_regions = draw(st.integers(0, 5))
    steps = []
    for step in range(length):
        if draw(st.booleans()):
            of_regions = draw(st.lists(logprobs, min_size=num_regions, max_size=num_regions))
            chosen = draw(st.integers(-1, num_regions - 1))
            steps.append(RegionStep(step, np.array(of_regions, np.float32), draw(logprobs), chosen))
    text = draw(st.text(alphabet="ab <>", max_size=20)) + draw(st.sampled_from(["", "<ground>a b</ground>"]))
    ends = sorted(draw(st.lists(st.integers(0, len(text)), min_size=length, max_size=length)))
    return Generation(
        token_ids=list(range(length)),
        logprobs=draw(numbers),
        margins=[abs(value) for value in draw(numbers)],
        entropies=[1.0] * length,
        region_steps=steps,
        finished=draw(st.booleans()) and length > 0,
        text=text,
        ends=ends,
    )


def _assert_in_range(values: dict[str, float]) -> None:
    for signal in as_signals(values):
        spec = SIGNALS[signal.name]
        assert math.isfinite(signal.value)
        assert spec.low <= signal.value <= spec.high
        if math.isfinite(values[signal.name]):
            assert signal.value == pytest.approx(values[signal.name], abs=1e-6), "needed no clipping"


@given(generation=generations(), out_of_range=st.integers(0, 5))
def test_signals_are_finite_and_in_range(generation: Generation, out_of_range: int) -> None:
    values = answer_signals(generation, out_of_range)

    _assert_in_range({name: value for name, value in values.items() if name != "margin_min"})
    assert all(math.isfinite(signal.value) for signal in as_signals(values))
    assert values["logprob_min"] <= values["logprob_mean"] + 1e-9
    inside = content_tokens(generation)
    assert ("stop_margin" in values) == any(step.step in inside for step in generation.region_steps)
    for tokens in span_tokens(generation):
        _assert_in_range(
            {n: v for n, v in answer_signals(generation, tokens=tokens).items() if n != "margin_min"}
        )


@given(asked_back=generations(), blind=generations(), region=st.integers(0, 4))
def test_second_signals_are_finite_and_in_range(
    asked_back: Generation, blind: Generation, region: int
) -> None:
    _assert_in_range(ask_back_signals(asked_back, region, {0}))
    scored = Generation(logprobs=[-1.0] * len(blind.logprobs))
    _assert_in_range(blind_signals(blind, scored))
    for step in asked_back.region_steps:
        assert region_probabilities(
            step, {region} if region < len(step.region_logprobs) else set()
        ).sum() == (pytest.approx(1))


@given(letters=st.lists(st.tuples(logprobs, logprobs), max_size=3), names=st.booleans())
def test_absence_is_a_probability(letters: list[tuple[float, float]], names: bool) -> None:
    values = absence_signals(letters, names)
    _assert_in_range(values)
    turned = absence_signals([(no, yes) for yes, no in letters], names)
    assert values["absence_probability"] + turned["absence_probability"] == pytest.approx(1)
    assert values["absence_agreement"] in (
        values["absence_probability"],
        pytest.approx(1 - values["absence_probability"]),
    )


def test_a_preference_for_a_letter_cancels_out_of_absence() -> None:
    """A model that answers A whatever A stands for gives no evidence."""
    values = absence_signals([(-0.01, -5.0), (-5.0, -0.01)], names_regions=True)
    assert values["absence_probability"] == pytest.approx(0.5)


@given(generation=generations(), lower=st.floats(0, 1), higher=st.floats(0, 1))
def test_more_labels_are_unsure_under_a_higher_bound(
    generation: Generation, lower: float, higher: float
) -> None:
    lower, higher = sorted((lower, higher))
    values = answer_signals(generation)
    assert 0 <= least_probability(values) <= 1
    assert is_unsure(values, higher) or not is_unsure(values, lower)
    assert is_unsure(values, 1.0)
    assert not is_unsure(values, 0.0)


SURE = Generation(
    token_ids=[1, 2, 3],
    logprobs=[-0.01, -0.01, -0.01],
    margins=[5.0, 5.0, 5.0],
    entropies=[0.1, 0.1, 0.1],
    region_steps=[
        RegionStep(0, np.array([-0.01, -6.0], np.float32), -7.0, chosen=0),
        RegionStep(1, np.array([-9.0, -6.0], np.float32), -0.01),
    ],
    finished=True,
)


def test_a_sure_choice_looks_sure() -> None:
    values = answer_signals(SURE)
    assert values["region_prob_min"] > 0.99
    assert values["stop_margin"] > 5
    assert values["left_out_prob_max"] < 0.01
    assert values["num_named"] == 1
    assert not is_unsure(values, 0.9)


def test_a_region_that_does_not_exist_is_not_a_stop() -> None:
    steps = [
        RegionStep(0, np.array([-3.0, -4.0], np.float32), -5.0, chosen=-1),
        RegionStep(1, np.array([-9.0, -6.0], np.float32), -0.01),
    ]
    named = answer_signals(Generation([1, 2], [-0.1, -0.1], [1, 1], [1, 1], steps), out_of_range=1)
    assert named["stop_margin"] == pytest.approx(-0.01 + 6.0)
    assert (named["num_named"], named["out_of_range"]) == (0, 1)


def test_ask_back_separates_regions_of_the_same_caption_from_others() -> None:
    steps = [
        RegionStep(0, np.log(np.array([0.6, 0.2, 0.1, 0.05])).astype(np.float32), math.log(0.05), chosen=0),
        RegionStep(1, np.log(np.array([0.1, 0.5, 0.1, 0.1])).astype(np.float32), math.log(0.2), chosen=1),
        RegionStep(2, np.log(np.array([0.1, 0.1, 0.3, 0.1])).astype(np.float32), math.log(0.4), chosen=2),
        RegionStep(3, np.log(np.array([0.1, 0.1, 0.1, 0.1])).astype(np.float32), math.log(0.6)),
    ]
    answer = Generation(region_steps=steps)
    assert chosen_regions(steps) == [0, 1, 2]
    values = ask_back_signals(answer, 1, {1, 2})
    assert (values["ask_back_hit"], values["ask_back_others"]) == (1, 1)
    assert values["ask_back_probability"] == pytest.approx(0.5 / 0.9)
    missed = ask_back_signals(answer, 3)
    assert (missed["ask_back_hit"], missed["ask_back_others"]) == (0, 3)


@pytest.mark.parametrize(
    ("words", "weakest", "position"),
    [
        (["a", " striped", " blue", " square"], 1, 1),
        (["a", " stri", "ped", " blue"], 2, 1),
        (["<ground>", "red", " circle", "</ground>", "<objects>", "<region3>", "</objects>"], 2, 1),
        (["<ground>", "red", " circle", "</ground>", "<objects>", "<region3>", "</objects>"], 5, None),
        (["<ground>", "red", " circle", "</ground>", "<objects>", "<region3>", "</objects>"], 0, None),
        (["two", " ", "<ground>", "red", " circle", "</ground>"], 3, 0),
    ],
)
def test_the_weakest_word_is_given_by_its_position_in_the_text(
    words: list[str], weakest: int, position: int | None
) -> None:
    numbers = [-2.0 if index == weakest else -0.1 for index in range(len(words))]
    ends = [len("".join(words[: index + 1])) for index in range(len(words))]
    answer = Generation(list(range(len(words))), numbers, numbers, numbers, text="".join(words), ends=ends)
    assert answer_signals(answer).get("min_token_position") == position


def test_each_span_of_a_caption_has_the_signals_of_its_own_words() -> None:
    words = ["<ground>", "cat", "</ground>", "<objects>", "<region0>", "</objects>", " and "]
    words += ["<ground>", "red", " dog", "</ground>", "<objects>", "</objects>"]
    ends = [len("".join(words[: index + 1])) for index in range(len(words))]
    numbers = [-0.1] * len(words)
    numbers[1], numbers[9] = -1.0, -3.0
    of_region = np.array([-1.0], np.float32)
    steps = [
        RegionStep(4, of_region, -2.0, 0),
        RegionStep(5, of_region, -0.1),
        RegionStep(12, of_region, -0.1),
    ]
    answer = Generation(
        list(range(13)), numbers, [1.0] * 13, [1.0] * 13, steps, text="".join(words), ends=ends
    )

    first, second = (answer_signals(answer, tokens=tokens) for tokens in span_tokens(answer))

    assert (first["logprob_min"], first["min_token_position"], first["num_named"]) == (-1.0, 0, 1)
    assert (second["logprob_min"], second["min_token_position"], second["num_named"]) == (-3.0, 1, 0)


def test_the_whole_is_as_doubtful_as_its_worst_part() -> None:
    joined = most_doubtful(
        [{"logprob_min": -1.0, "num_tokens": 3}, {"logprob_min": -4.0, "left_out_prob_max": 0.2}]
    )
    assert joined == {"logprob_min": -4.0, "num_tokens": 3, "left_out_prob_max": 0.2}
    assert most_doubtful([]) == {}


def test_every_signal_is_specified() -> None:
    for name, spec in SIGNALS.items():
        assert spec.low < spec.high, name
        assert spec.direction in (-1, 0, 1)
        assert spec.unit
        assert spec.description
    assert [name for name in SIGNALS if name.startswith("feature_")] == [
        f"feature_{index}" for index in range(NUM_FEATURES)
    ]
    with pytest.raises(KeyError):
        as_signals({"not_in_the_table": 1.0})
