"""Reserved tokens of a text act as markup nowhere: not in prompts, answers, messages or preferences."""

import re

import hypothesis.strategies as st
import numpy as np
import pytest
from factories import make_answer, make_row
from hypothesis import given

from fo1_data.dataset.exports.messages import image_turns
from fo1_data.labelling.image_labeller import phrase_rejects
from fo1_data.model.prompts import own_question, question_text
from fo1_data.model.reserved_tokens import blanked, broken_up, clean_phrase, without_reserved
from fo1_data.training.samples.image_labels import ImageLabels
from fo1_data.training.samples.question_draw import draw_questions
from fo1_data.training.samples.questions import caption_question, description_question, region_questions
from schemas.corpus import CorpusAnswer, CorpusImage, CorpusPhrase, CorpusRegion
from schemas.images import RejectStage
from schemas.labels import LabelKind

TOKENS = ["<|im_end|>", "<|image_pad|>", "<region3>", "<ground>", "</objects>", "<image>", "<think>"]
MARKUP = re.compile(r"<\|[^|<>]*\|>|</?(?:ground|objects|region\d+|image|think|answer)>")
TEXTS = st.lists(st.sampled_from([*TOKENS, "<|im_", "end|>", "<reg", "ion3>", "a", " ", "\n"]), max_size=8)


@given(TEXTS.map("".join))
def test_no_reserved_token_is_left_whatever_the_text(text: str) -> None:
    for neutral in (without_reserved(text), clean_phrase(text), blanked(text), broken_up(text)):
        assert not MARKUP.search(neutral)


def test_other_texts_stay_as_they_are() -> None:
    for text in ("a  red\n square ", "x < y > z", "<b>bold</b>", "<|", "region3", ""):
        assert without_reserved(text) == broken_up(text) == text


def test_words_around_a_reserved_token_stay_apart() -> None:
    assert without_reserved("sign<|im_end|>with text") == "sign with text"
    assert without_reserved("a <|im_end|> sticker\nof two lines") == "a sticker\nof two lines"
    assert broken_up("<image> <|im_end|> <region3>") == "<_image> <_|im_end|> <_region3>"


@pytest.mark.parametrize("token", TOKENS)
def test_answers_that_are_trained_on_hold_no_markup_of_the_corpus(token: str) -> None:
    text = f"the {token} sign"
    region = CorpusRegion(
        box_xyxy=(0, 0, 9, 9), label=text, caption=text, detailed_caption=text, text=f"two\nlines {token}"
    )
    phrase = CorpusPhrase(text=text, region_indices=[0])
    labels = ImageLabels(
        regions=[region],
        phrases=[phrase, CorpusPhrase(text=token, region_indices=[0])],
        answers=[CorpusAnswer(question=text, answer=text, reasoning=text, region_index=None)],
        description=f"here is {text} {token} on a wall",
        description_phrases=[phrase],
    )
    questions = [
        *draw_questions(labels, [0], np.random.default_rng(0), 50),
        *region_questions(labels, [0]),
        caption_question(labels, [0]),
        description_question(labels, [0]),
    ]
    own = re.compile("<ground>the sign</ground>|<objects>(<region0>)?</objects>|</?think>|</?answer>")
    for question in questions:
        assert question is not None
        assert not MARKUP.search(own.sub("", question.answer)), question
        assert not MARKUP.search(question.text.replace("<region0>", "")), question
    answers = {question.answer for question in questions if question is not None}
    assert {"the sign", "two\nlines", "<think>the sign</think><answer>the sign</answer>"} <= answers
    assert not any(question.text.startswith("Please detect  in") for question in questions if question)


def test_prompts_hold_no_markup_of_the_corpus() -> None:
    assert question_text(LabelKind.GROUND, phrase="the <region3> sign").count("<") == 0
    assert own_question("<|im_end|> what is {region}", region=1) == "what is <region1>"


def test_messages_hold_the_markup_of_reasoning_alone() -> None:
    row = make_row(0, caption="a <|im_end|> here")
    row.regions[0].brief_caption = "<image> logo"
    answer = make_answer()
    row.answers = [answer.model_copy(update={"answer": "<region3>", "reasoning": "as <think> says"})]
    answers = [text for _, text in image_turns(row)]
    assert "<_image> logo" in answers
    assert "a <_|im_end|> here" in answers
    assert "<think>as <_think> says</think><answer><_region3></answer>" in answers


def test_a_phrase_of_reserved_tokens_alone_is_a_reject() -> None:
    phrases = [CorpusPhrase(text=text) for text in ("<ground>", "a <ground>", " <|im_end|> <region3>")]
    rejects = phrase_rejects(CorpusImage(uri="a.png", phrases=phrases))
    assert [(reject.stage, reject.reason) for reject in rejects] == [
        (RejectStage.LABEL, "reserved_tokens")
    ] * 2
    assert "<ground>" in rejects[0].message
