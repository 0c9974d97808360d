"""Draws the questions of a step about one image, evenly from the kinds whose answers are known."""

from collections.abc import Sequence

import numpy as np

from fo1_data.model.reserved_tokens import clean_phrase, without_reserved
from fo1_data.training.samples.image_labels import PHRASE_KINDS, ImageLabels
from fo1_data.training.samples.questions import (
    TrainingQuestion,
    caption_question,
    count_question,
    description_question,
    example_question,
    free_question,
    phrase_question,
    presence_question,
    region_questions,
)
from schemas.corpus import CorpusPhrase
from schemas.labels import LabelKind


def draw_questions(
    labels: ImageLabels,
    indices: Sequence[int],
    rng: np.random.Generator,
    max_questions: int,
    negative_share: float | None = None,
) -> list[TrainingQuestion]:
    """Draw up to `max_questions` about an image, evenly from the kinds whose answers are known.

    `negative_share`: share of absent phrases among the phrase questions, as far as there are enough present
    and absent ones; None: no balancing.
    """
    phrases = [
        phrase for phrase in labels.phrases if phrase.region_indices is not None and clean_phrase(phrase.text)
    ]
    return _draw(_pools(labels, phrases, indices, rng, negative_share), max_questions)


def _pools(
    labels: ImageLabels,
    phrases: list[CorpusPhrase],
    indices: Sequence[int],
    rng: np.random.Generator,
    negative_share: float | None,
) -> list[list[TrainingQuestion]]:
    """Questions by kind in random order; a pool is drawn from its end."""
    pools: list[list[TrainingQuestion]] = []
    for kind in (LabelKind.BRIEF_CAPTION, LabelKind.DETAILED_CAPTION, LabelKind.OCR):
        pools.append([question for question in region_questions(labels, indices) if question.kind == kind])
    pools.append([phrase_question(phrase, indices) for phrase in phrases])
    pools.append([count_question(phrase, indices) for phrase in phrases if labels.can_be_counted(phrase)])
    pools.append([presence_question(phrase, rng) for phrase in phrases])
    pools.append([example_question(example, indices) for example in labels.examples])
    answers = [answer for answer in labels.answers if without_reserved(answer.answer)]
    pools.append([free_question(answer, indices) for answer in answers])
    caption = description_question(labels, indices)
    if caption is None and labels.all_labelled:
        caption = caption_question(labels, indices)
    pools.append([caption] if caption else [])
    shuffled = [[pool[i] for i in rng.permutation(len(pool))] for pool in pools if pool]
    if negative_share is None:
        return shuffled
    return [
        balance_absent(pool, rng, negative_share) if pool[0].kind in PHRASE_KINDS else pool
        for pool in shuffled
    ]


def balance_absent(
    pool: Sequence[TrainingQuestion], rng: np.random.Generator, negative_share: float
) -> list[TrainingQuestion]:
    """Reorder pointing questions so that a share of `negative_share`, counted from the end, names no box,
    until either present or absent ones run out."""
    present = [question for question in pool if question.answer_boxes]
    absent = [question for question in pool if not question.answer_boxes]
    series: list[TrainingQuestion] = []
    while present and absent:
        series.append((absent if rng.random() < negative_share else present).pop())
    return [*present, *absent, *reversed(series)]


def _draw(pools: list[list[TrainingQuestion]], max_questions: int) -> list[TrainingQuestion]:
    questions: list[TrainingQuestion] = []
    while pools and len(questions) < max_questions:
        pools = [pool for pool in pools if pool]
        for pool in pools:
            if pool and len(questions) < max_questions:
                questions.append(pool.pop())
    return questions
