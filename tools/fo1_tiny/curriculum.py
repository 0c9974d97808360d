"""The questions of a training scene: number of boxes, index tokens, question kinds, wording.

Short wordings train the same at half the length; the full ones follow later. In a share of the samples the
index tokens are a sorted random subset of all hundred, so that each of them is learned.
"""

from dataclasses import dataclass, replace

import numpy as np

from fo1_data.synthetic.scenes import SceneObject
from fo1_data.synthetic.wording import draw_absent, draw_phrase, draw_related
from fo1_data.training.samples.image_labels import ImageLabels
from fo1_data.training.samples.questions import (
    TrainingQuestion,
    caption_question,
    count_question,
    phrase_question,
    presence_question,
    region_questions,
)
from schemas.corpus import CorpusPhrase
from schemas.labels import LabelKind

_SHORT = {
    LabelKind.BRIEF_CAPTION: "brief description for",
    LabelKind.DETAILED_CAPTION: "detailed description for",
    LabelKind.OCR: "ocr results of",
    LabelKind.GROUNDED_CAPTION: "describe all objects",
}


@dataclass(frozen=True)
class QuestionMix:
    """How many questions of each kind an image gets; shares of captions, absent phrases, short wordings."""

    brief: int = 3
    detailed: int = 1
    ground: int = 4
    related: int = 1
    count: int = 2
    presence: int = 1
    ocr: int = 0
    caption_share: float = 0.2
    absent_share: float = 0.35
    short_share: float = 0.0


def draw_num_boxes(step: int, scale: int, rng: np.random.Generator) -> int:
    """2 to 5 boxes at first, then 3 to 10, then 4 to 22, and in a tenth of the scenes 30 to 100.

    `scale`: steps per stage.
    """
    stage = step / scale
    if stage < 1:
        return int(rng.integers(2, 6))
    if stage < 2:
        return int(rng.integers(3, 11))
    if stage < 3 or rng.random() < 0.9:
        return int(rng.integers(4, 23))
    return int(rng.integers(30, 101))


def draw_indices(num_boxes: int, random_share: float, rng: np.random.Generator) -> list[int]:
    """The index token of each box: 0 to N-1, or a sorted random subset of all hundred."""
    if rng.random() >= random_share:
        return list(range(num_boxes))
    return sorted(rng.choice(100, num_boxes, replace=False).tolist())


def draw_curriculum_questions(
    labels: ImageLabels,
    objects: list[SceneObject],
    positions: list[int],
    indices: list[int],
    mix: QuestionMix,
    rng: np.random.Generator,
) -> list[TrainingQuestion]:
    """Questions, in random order, about a scene whose `objects` are at `positions` in the prompt."""
    questions: list[TrainingQuestion] = []
    region_pool = region_questions(labels, indices)
    for kind, max_questions in (
        (LabelKind.BRIEF_CAPTION, mix.brief),
        (LabelKind.DETAILED_CAPTION, mix.detailed),
        (LabelKind.OCR, mix.ocr),
    ):
        pool = [question for question in region_pool if question.kind == kind]
        questions += [pool[i] for i in rng.permutation(len(pool))[:max_questions]]
    questions += [
        phrase_question(_corpus_phrase(objects, positions, mix, rng), indices) for _ in range(mix.ground)
    ]
    questions += [
        count_question(_corpus_phrase(objects, positions, mix, rng), indices) for _ in range(mix.count)
    ]
    questions += [
        presence_question(_corpus_phrase(objects, positions, mix, rng, 0.5), rng) for _ in range(mix.presence)
    ]
    for _ in range(mix.related):
        related = draw_related(objects, rng)
        if related is not None:
            named = [positions[index] for index in related.indices]
            question = phrase_question(CorpusPhrase(text=str(related), region_indices=named), indices)
            questions.append(replace(question, anchor=positions[related.anchor_index]))
    if rng.random() < mix.caption_share:
        caption = caption_question(labels, indices)
        questions += [caption] if caption else []
    return [_shorten(questions[i], indices, mix, rng) for i in rng.permutation(len(questions))]


def _corpus_phrase(
    objects: list[SceneObject],
    positions: list[int],
    mix: QuestionMix,
    rng: np.random.Generator,
    absent_share: float | None = None,
) -> CorpusPhrase:
    if rng.random() < (mix.absent_share if absent_share is None else absent_share):
        absent = draw_absent(objects, rng)
        if absent is not None:
            return CorpusPhrase(text=str(absent), region_indices=[])
    phrase = draw_phrase(objects, rng)
    return CorpusPhrase(text=str(phrase), region_indices=[positions[i] for i in phrase.matches(objects)])


def _shorten(
    question: TrainingQuestion, indices: list[int], mix: QuestionMix, rng: np.random.Generator
) -> TrainingQuestion:
    if question.kind == LabelKind.ASK or rng.random() >= mix.short_share:
        return question
    if question.subject is not None:
        text = f"{_SHORT[question.kind]} <region{indices[question.subject]}>."
    elif question.kind == LabelKind.GROUNDED_CAPTION:
        text = _SHORT[question.kind]
    else:
        phrase = question.answer.partition("</ground>")[0].removeprefix("<ground>")
        text = f"detect {phrase}." if question.kind == LabelKind.GROUND else f"many {phrase}?"
    return replace(question, text=text)
