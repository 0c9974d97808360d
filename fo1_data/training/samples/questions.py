"""Training questions about one image, with their answers, made from the labels of the image.

Questions and answers name boxes by index token: `indices[i]` is the index of the box at prompt position i.
A question whose answer is not known is not made. Reserved tokens of a text are not trained on; a phrase
or an answer that holds nothing else is left out (`fo1_data.model.reserved_tokens`). Answers have the form
that `fo1_data.model.parsing` reads.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fo1_data.model.choice_question import draw_choice
from fo1_data.model.mentions import join_mentions, mentions
from fo1_data.model.prompts import own_question, question_text
from fo1_data.model.reserved_tokens import blanked, clean_phrase, without_reserved
from fo1_data.training.events import AnswerKind
from fo1_data.training.samples.image_labels import ImageLabels, LabelKey
from schemas.corpus import CorpusAnswer, CorpusExample, CorpusPhrase
from schemas.labels import LabelKind

BACKGROUND = "background"
_ANSWER_KINDS = {
    LabelKind.BRIEF_CAPTION: AnswerKind.CAPTION,
    LabelKind.DETAILED_CAPTION: AnswerKind.CAPTION,
    LabelKind.GROUNDED_CAPTION: AnswerKind.CAPTION,
    LabelKind.COUNT: AnswerKind.COUNT,
    LabelKind.OCR: AnswerKind.TEXT,
}


@dataclass(frozen=True)
class TrainingQuestion:
    """A question with its correct answer. Boxes are given by their position in the prompt.

    `subject`: the box that the question is about, or None. `answer_boxes`: the boxes that the answer names,
    in the answer's order. `anchor`: the box that a phrase with a relation refers to, or None.
    `label_key`: the label that the answer is made from; None if the answer is gold.
    """

    text: str
    answer: str
    kind: LabelKind
    subject: int | None = None
    answer_boxes: tuple[int, ...] = ()
    anchor: int | None = None
    label_key: LabelKey | None = None

    @property
    def answer_kind(self) -> AnswerKind:
        """The kind by which the answer is measured and weighted."""
        if self.kind in (LabelKind.GROUND, LabelKind.DETECT):
            return AnswerKind.PHRASE if self.answer_boxes else AnswerKind.ABSENT
        return _ANSWER_KINDS.get(self.kind, AnswerKind.QUESTION)


def objects_text(positions: Sequence[int], indices: Sequence[int]) -> str:
    """`<objects><region3><region7></objects>`."""
    return "<objects>" + "".join(f"<region{indices[position]}>" for position in positions) + "</objects>"


def pointing_answer(phrase: str, positions: Sequence[int], indices: Sequence[int]) -> str:
    """`<ground>phrase</ground><objects>...</objects>`; the list of an absent phrase is empty."""
    return f"<ground>{without_reserved(phrase)}</ground>{objects_text(positions, indices)}"


def region_questions(labels: ImageLabels, indices: Sequence[int]) -> list[TrainingQuestion]:
    """Every question about a single box whose answer is known."""
    questions = []
    for position, region in enumerate(labels.regions):
        if region is None:
            answers: dict[LabelKind, str | None] = {
                LabelKind.BRIEF_CAPTION: BACKGROUND,
                LabelKind.DETAILED_CAPTION: BACKGROUND,
            }
        else:
            answers = {
                LabelKind.BRIEF_CAPTION: region.caption,
                LabelKind.DETAILED_CAPTION: region.detailed_caption,
                LabelKind.OCR: region.text,
            }
        questions += [
            TrainingQuestion(
                question_text(kind, region=indices[position]),
                without_reserved(answer),
                kind,
                subject=position,
                label_key=(kind, position, None),
            )
            for kind, answer in answers.items()
            if answer is not None and (not answer or without_reserved(answer))
        ]
    return questions


def phrase_question(phrase: CorpusPhrase, indices: Sequence[int]) -> TrainingQuestion:
    """`Please detect {phrase}`; the answer names the boxes in the order of the prompt."""
    positions = tuple(sorted(phrase.region_indices or []))
    return TrainingQuestion(
        question_text(LabelKind.GROUND, phrase=phrase.text),
        pointing_answer(phrase.text, positions, indices),
        LabelKind.GROUND,
        answer_boxes=positions,
        label_key=(LabelKind.GROUND, None, phrase.text),
    )


def count_question(phrase: CorpusPhrase, indices: Sequence[int]) -> TrainingQuestion:
    """`How many {phrase}`; the answer locates the boxes, then gives their number."""
    positions = tuple(sorted(phrase.region_indices or []))
    return TrainingQuestion(
        question_text(LabelKind.COUNT, phrase=phrase.text),
        f"{pointing_answer(phrase.text, positions, indices)} {len(positions)}",
        LabelKind.COUNT,
        answer_boxes=positions,
        label_key=(LabelKind.COUNT, None, phrase.text),
    )


def example_question(example: CorpusExample, indices: Sequence[int]) -> TrainingQuestion:
    """Which other boxes show the same as the example's box; an empty list if none does."""
    kind, positions = LabelKind.VISUAL_EXAMPLE, tuple(sorted(example.region_indices))
    return TrainingQuestion(
        question_text(kind, region=indices[example.region_index]),
        objects_text(positions, indices),
        kind,
        subject=example.region_index,
        answer_boxes=positions,
        label_key=(kind, example.region_index, None),
    )


def free_question(answer: CorpusAnswer, indices: Sequence[int]) -> TrainingQuestion:
    """A free question with its answer; reasoning, if there is any, comes first and in a part of its own."""
    position = answer.region_index
    text = without_reserved(answer.answer)
    if answer.reasoning:
        text = f"<think>{without_reserved(answer.reasoning)}</think><answer>{text}</answer>"
    return TrainingQuestion(
        own_question(answer.question, region=None if position is None else indices[position]),
        text,
        LabelKind.ASK,
        subject=position,
        label_key=(LabelKind.ASK, position, answer.question),
    )


def presence_question(phrase: CorpusPhrase, rng: np.random.Generator) -> TrainingQuestion:
    """The multiple-choice question whether a phrase is in the image."""
    text, answer = draw_choice(clean_phrase(phrase.text), bool(phrase.region_indices), rng)
    positions = tuple(sorted(phrase.region_indices or []))
    label_key = (LabelKind.GROUND, None, phrase.text)
    return TrainingQuestion(text, answer, LabelKind.ASK, answer_boxes=positions, label_key=label_key)


def caption_question(labels: ImageLabels, indices: Sequence[int]) -> TrainingQuestion | None:
    """The grounded caption made from classes: each class once, in box order, with all its boxes."""
    named = mentions(
        [without_reserved(region.label or "") or None if region else None for region in labels.regions]
    )
    if not named:
        return None
    kind = LabelKind.GROUNDED_CAPTION
    answer = join_mentions([pointing_answer(label, positions, indices) for label, positions in named])
    boxes = tuple(position for _, positions in named for position in positions)
    return TrainingQuestion(question_text(kind), answer, kind, answer_boxes=boxes)


def description_question(labels: ImageLabels, indices: Sequence[int]) -> TrainingQuestion | None:
    """The image's own caption with the boxes of its grounded phrases; None if it contains none of them."""
    kind = LabelKind.GROUNDED_CAPTION
    text, end, answer, boxes = labels.description or "", 0, "", list[int]()
    for phrase in sorted(labels.description_phrases, key=lambda phrase: text.find(phrase.text)):
        start = text.find(phrase.text, end)
        if start >= 0:
            positions = sorted(phrase.region_indices or [])
            answer += blanked(text[end:start]) + pointing_answer(phrase.text, positions, indices)
            end, boxes = start + len(phrase.text), [*boxes, *positions]
    if not answer:
        return None
    return TrainingQuestion(
        question_text(kind),
        answer + blanked(text[end:]),
        kind,
        answer_boxes=tuple(boxes),
        label_key=(kind, None, None),
    )
