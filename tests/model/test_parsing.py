"""Answers to labels: exact on what the model is trained to say, total on everything else."""

from hypothesis import given
from hypothesis import strategies as st

from fo1_data.model.parsing import parse_caption, parse_count, parse_grounded, parse_pointing, parse_reasoned
from schemas.labels import MOST_COUNT

PIECES = [
    "<ground>",
    "</ground>",
    "<objects>",
    "</objects>",
    "<region0>",
    "<region7>",
    "<region99>",
    "<region12345678>",
    "<think>",
    "</think>",
    "<answer>",
    "red star",
    "12",
    " ",
    "\n",
    "<",
    "<|im_end|>",
]
answers = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=5)), max_size=20).map("".join)


def test_a_pointing_answer_names_its_regions_in_order() -> None:
    span = parse_pointing("<ground>star</ground><objects><region7><region2><region7></objects>", "star", 10)
    assert (span.phrase, span.indices, span.out_of_range) == ("star", [7, 2], 0)


def test_an_absent_phrase_names_none() -> None:
    assert parse_pointing("<ground>star</ground><objects></objects>", "star", 10).indices == []


def test_indices_that_no_region_has_are_counted() -> None:
    span = parse_pointing("<objects><region3><region10><region99></objects>", "star", 10)
    assert (span.indices, span.out_of_range) == ([3], 2)


def test_a_grounded_caption_keeps_its_words_and_spans() -> None:
    grounded = parse_grounded(
        "There is <ground>a red star</ground><objects><region1></objects> left of "
        "<ground>two rings</ground><objects><region0><region2></objects>.",
        3,
    )
    assert grounded.text == "There is a red star left of two rings."
    assert [(span.phrase, span.indices) for span in grounded.spans] == [
        ("a red star", [1]),
        ("two rings", [0, 2]),
    ]


def test_a_count_is_the_last_number_outside_the_lists() -> None:
    number, span = parse_count(
        "<ground>star</ground><objects><region1><region4></objects> There are 2.", "star", 9
    )
    assert (number, span.indices) == (2, [1, 4])


def test_a_count_without_a_number_is_how_many_were_named() -> None:
    assert parse_count("<objects><region1><region4></objects>", "star", 9)[0] == 2


def test_reasoning_is_kept_apart() -> None:
    assert parse_reasoned("<think>it is\nround</think><answer>a ring</answer>") == ("a ring", "it is round")
    assert parse_reasoned("a ring") == ("a ring", None)


@given(answer=answers, num_regions=st.integers(0, 100))
def test_any_answer_parses(answer: str, num_regions: int) -> None:
    caption = parse_caption(answer)
    assert caption == " ".join(caption.split())
    for span in (
        parse_pointing(answer, "x", num_regions),
        parse_count(answer, "x", num_regions)[1],
        *parse_grounded(answer, num_regions).spans,
    ):
        assert all(0 <= index < num_regions for index in span.indices)
        assert len(set(span.indices)) == len(span.indices)
        assert span.out_of_range >= 0
    assert parse_count(answer, "x", num_regions)[0] >= 0
    parse_reasoned(answer)


def test_a_number_of_thousands_of_digits_is_the_largest_count() -> None:
    assert parse_count("9" * 5000, "star", 0)[0] == MOST_COUNT
    assert parse_count("0" * 5000 + "7", "star", 0)[0] == 7


def test_empty_reasoning_leaves_no_space() -> None:
    assert parse_reasoned("<think> </think><think>it is red</think>x") == ("x", "it is red")


def test_what_stands_around_a_tag_leaves_no_other_tag() -> None:
    assert parse_caption("a <|<region0>cat|> b") == "a b"
    assert parse_caption("<<ground>|x|>") == "< |x|>"
