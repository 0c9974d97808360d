"""Signals from comparing a phrase with the captions of the regions that it names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fo1_data.confidence.agreement_signals import agreement_signals
from fo1_data.confidence.signals import SIGNALS, as_signals
from fo1_data.dataset.phrase_words import head_words

words = st.text(alphabet="ab s,’é1_", max_size=12)


@given(
    phrase=words,
    named=st.sets(st.integers(0, 9), max_size=4),
    captions=st.lists(st.one_of(st.none(), words), max_size=6),
)
def test_any_words_give_numbers_in_range(phrase: str, named: set[int], captions: list[str | None]) -> None:
    values = agreement_signals(phrase, named, captions)
    for signal in as_signals(values):
        assert SIGNALS[signal.name].low <= values[signal.name] == pytest.approx(signal.value)
        assert signal.value <= SIGNALS[signal.name].high
    if all(caption is None for caption in captions) or not head_words(phrase):
        assert values == {}


@pytest.mark.parametrize(
    ("phrase", "head"),
    [
        ("The red circles", {"red", "circle"}),
        ("cup left of the blue plate", {"cup"}),
        ("object", set()),
        ("left shoe", {"left", "shoe"}),
        ("glass", {"glass"}),
    ],
)
def test_the_head_words_of_a_phrase(phrase: str, head: set[str]) -> None:
    assert head_words(phrase) == head


def test_signals_show_contradictions_and_omissions() -> None:
    captions = ["small red circle", "large blue circle", "red circle", None]
    agreed = agreement_signals("red circle", {0, 2}, captions)
    assert agreed == {"caption_agreement": 1, "caption_elsewhere": 0.5, "captions_left_out": 0}
    wrong = agreement_signals("red circle", {1}, captions)
    assert wrong == {"caption_agreement": 0.5, "caption_elsewhere": 1, "captions_left_out": 2}
    nothing = agreement_signals("green star", set(), captions)
    assert nothing == {"caption_elsewhere": 0, "captions_left_out": 0}
