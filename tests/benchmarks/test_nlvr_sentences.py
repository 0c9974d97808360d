"""The phrases in NLVR's sentences, and the truth of its counting sentences."""

import pytest

from fo1_data.benchmarks.nlvr_sentences import holds, phrases_of


def test_phrases_are_distinct_pairs_of_colour_and_shape() -> None:
    sentence = "There is a tower with a yellow block over a blue item, two Yellow blocks and a triangle."
    assert phrases_of(sentence) == ["yellow square", "blue object"]
    assert phrases_of("There is a tower with three blocks.") == []


@pytest.mark.parametrize(
    ("sentence", "count", "verdict"),
    [
        ("There are two blue circles.", 2, True),
        ("There are 2 blue circles", 3, False),
        ("There is a blue circle", 3, True),
        ("There are at least two blue circles.", 3, True),
        ("There is exactly one blue circle.", 3, False),
        ("There is no blue circle.", 0, True),
        ("There are at most two blue circles.", 3, False),
        ("There is a blue circle touching the wall.", 3, None),
        ("There are many blue circles.", 3, None),
        ("There is a blue circle and a black square.", 3, None),
    ],
)
def test_only_counting_sentences_are_decided(sentence: str, count: int, verdict: bool | None) -> None:
    assert holds(sentence, {"blue circle": count}) is verdict
