"""Which regions count: captions contradict a phrase only by words that they tell."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fo1_data.dataset.counted_regions import LEAST_REGIONS, CaptionCheck, Naming

COLOURS = ("red", "blue", "green")
SHAPES = ("circle", "star")


def _captions(colours: dict[str, str]) -> dict[str, str]:
    return {name: f"a {colour} circle" for name, colour in colours.items()}


REDS = [f"r{number}" for number in range(LEAST_REGIONS)]
CAPTIONS = _captions(dict.fromkeys(REDS, "red") | {"b": "blue"})
SURE_REDS = Naming("red circle", REDS, is_sure=True)


def test_a_region_of_another_colour_does_not_count() -> None:
    check = CaptionCheck(CAPTIONS, [SURE_REDS, Naming("red circle", ["b"], is_sure=False)])
    assert check.told == {"red", "circle"}
    assert check.agreeing(["b", *REDS], "red circles") == REDS
    assert check.agreeing(["b", *REDS], "circle") == ["b", *REDS]


@pytest.mark.parametrize(
    "namings",
    [
        [Naming("red circle", REDS, is_sure=False)],
        [Naming("red circle", REDS[1:], is_sure=True)],
        [SURE_REDS, Naming("red circle", ["b"], is_sure=True)],
    ],
    ids=["nothing is sure", "too few", "one in nine lacks it"],
)
def test_words_that_are_not_told_contradict_nothing(namings: list[Naming]) -> None:
    check = CaptionCheck(CAPTIONS, namings)
    assert "red" not in check.told
    assert check.agreeing(["b", *REDS], "red circle") == ["b", *REDS]


def test_other_words_for_the_same_thing_are_not_told() -> None:
    """Captions say "sedan" where the vocabulary says "car"."""
    captions = {name: "a red sedan" if name < "r6" else "a red car" for name in REDS}
    check = CaptionCheck(captions, [Naming("red car", REDS, is_sure=True)])
    assert check.told == {"red"}
    assert check.agreeing(REDS, "red car") == REDS


def test_a_region_without_a_caption_counts() -> None:
    check = CaptionCheck(CAPTIONS, [SURE_REDS])
    assert check.agreeing(["no caption"], "red circle") == ["no caption"]


_things = st.lists(st.tuples(st.sampled_from(COLOURS), st.sampled_from(SHAPES)), max_size=40)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_things, st.lists(st.tuples(st.sampled_from(COLOURS), st.booleans()), max_size=12))
def test_only_named_regions_count_and_right_ones_always(
    things: list[tuple[str, str]], asked: list[tuple[str, bool]]
) -> None:
    """With right captions, whatever is named wrongly, nothing is added and no right region goes."""
    captions = {str(at): f"{colour} {shape}" for at, (colour, shape) in enumerate(things)}
    namings = [Naming(colour, list(captions), is_sure) for colour, is_sure in asked]
    check = CaptionCheck(captions, namings)
    for colour in COLOURS:
        kept = check.agreeing(captions, colour)
        assert set(kept) <= set(captions)
        assert {one for one, caption in captions.items() if colour in caption} <= set(kept)
