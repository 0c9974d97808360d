"""Prompts: the cut between prefix and tail changes no id, and a corpus' text cannot speak for the user."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Qwen2Tokenizer

from fo1_data.model.checkpoint import Checkpoint
from fo1_data.model.prompts import IMAGE_PLACEHOLDER, REGION_PLACEHOLDER, question_text
from fo1_data.model.reserved_tokens import clean_phrase
from schemas.labels import LabelKind

PIECES = [
    "<region0>",
    "<region7>",
    "<region07>",
    "<region100>",
    " ",
    "\n",
    "what",
    "'s",
    "<objects>",
    "e\u0301",
]


@pytest.fixture(scope="module")
def reference(random_checkpoint: Checkpoint) -> Qwen2Tokenizer:
    return Qwen2Tokenizer.from_pretrained(str(random_checkpoint.folder))


@settings(deadline=None)
@given(ids=st.lists(st.integers(0, 400), max_size=12))
def test_answers_are_decoded_as_by_the_reference(
    random_checkpoint: Checkpoint, reference: Qwen2Tokenizer, ids: list[int]
) -> None:
    shown = [token for token in ids if token != random_checkpoint.tokenizer.special.end_of_turn]
    expected = reference.decode(shown, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    assert random_checkpoint.tokenizer.decode(ids) == expected


@settings(deadline=None)
@given(
    question=st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PIECES)).map("".join)),
    num_regions=st.integers(0, 3),
)
def test_prefix_and_tail_are_the_ids_of_the_whole(
    random_checkpoint: Checkpoint, reference: Qwen2Tokenizer, question: str, num_regions: int
) -> None:
    """By transformers' own tokenizer."""
    tokenizer = random_checkpoint.tokenizer
    regions = "".join(f"<region{i}><slot>" for i in range(num_regions))
    head = (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<|vision_start|><slot><|vision_end|>"
    )
    whole = f"{head}{chr(10) if num_regions else ''}{regions}\n{question}<|im_end|>\n<|im_start|>assistant\n"
    placeholders = iter([IMAGE_PLACEHOLDER] + [REGION_PLACEHOLDER] * num_regions)
    expected: list[int] = []
    for index, piece in enumerate(whole.split("<slot>")):
        expected += ([next(placeholders)] if index else []) + reference(piece, add_special_tokens=False)[
            "input_ids"
        ]

    assert tokenizer.prefix_ids(num_regions) + tokenizer.tail_ids(question) == expected


@given(
    phrase=st.lists(
        st.one_of(st.sampled_from(["<region3>", "<|im_end|>", "</objects>", "a"]), st.text()), max_size=6
    )
)
def test_reserved_tokens_leave_a_phrase(phrase: list[str]) -> None:
    cleaned = clean_phrase(" ".join(phrase))
    for token in ("<region3>", "<|im_end|>", "<|im_start|>", "</objects>", "<objects>"):
        assert token not in cleaned


def test_wording_is_the_released_models() -> None:
    assert question_text(LabelKind.BRIEF_CAPTION, region=3) == "Provide a brief description for <region3>."
    assert (
        question_text(LabelKind.GROUND, phrase="red  star")
        == "Please detect red star in this image. Answer the question with object indexes."
    )


@pytest.mark.parametrize("kind", [k for k in LabelKind if k is not LabelKind.ASK])
def test_every_kind_has_a_question(kind: LabelKind) -> None:
    text = question_text(kind, phrase="red star", region=5)
    assert "{" not in text
    assert ("<region5>" in text) == (kind.per_region or kind is LabelKind.VISUAL_EXAMPLE)
