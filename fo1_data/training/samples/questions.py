"""Training questions about one image, with their answers, made from the labels of the image.

Questions and answers name boxes by index token: `indices[i]` is the index of the box at prompt position i.
A question whose answer is not known is not made. Reserved tokens of a text are not trained on; a phrase
or an answer that holds nothing else is left out (`fo1_data.model.reserved_tokens`). Answers have the form
that `fo1_data.model.parsing` reads.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fo1_data.model.choice_question import draw_choice
from fo1_data.model.mentions import join_mentions, mentions
from fo1_data.model.prompts import own_question, question_text
from fo1_data.model.reserved_tokens import blanked, clean_phrase, without_reserved
from fo1_data.training.events import AnswerKind
from schemas.corpus import CorpusAnswer, CorpusCount, CorpusExample, CorpusPhrase, CorpusRegion
from schemas.labels import LabelKind

BACKGROUND = "background"
_PHRASE_KINDS = (LabelKind.GROUND, LabelKind.COUNT)
_ANSWER_KINDS = {
    LabelKind.BRIEF_CAPTION: AnswerKind.CAPTION,
    LabelKind.DETAILED_CAPTION: AnswerKind.CAPTION,
    LabelKind.GROUNDED_CAPTION: AnswerKind.CAPTION,
    LabelKind.COUNT: AnswerKind.COUNT,
    LabelKind.OCR: AnswerKind.TEXT,
}
# Kind of a label, position of its box or None, and its phrase or question or None.
LabelKey = tuple[LabelKind, int | None, str | None]


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


@dataclass(frozen=True)
class LabelTrust:
    """How reliable a dataset's label is: given or confirmed by a person, or a model's with its confidence."""

    human: bool
    confidence: float | None = None


@dataclass(frozen=True)
class ImageLabels:
    """All labels of an image; every index is a position in the prompt.

    `regions[i]`: None if box i shows background only. `phrases`, `counts`, `answers`, `examples`: as in gold.
    `all_labelled`: every labelled box has its class, so a caption can be made from the classes. `trust`: by
    label key; a label without an entry is gold. `distractors`: boxes shown besides the labelled ones.
    `all_shown`: no labelled box of the image is left out. `description`: the image's own caption, which
    contains `description_phrases` in order.
    """

    regions: Sequence[CorpusRegion | None]
    phrases: Sequence[CorpusPhrase] = ()
    counts: Sequence[CorpusCount] = ()
    all_labelled: bool = False
    answers: Sequence[CorpusAnswer] = ()
    examples: Sequence[CorpusExample] = ()
    trust: Mapping[LabelKey, LabelTrust] = field(default_factory=dict)
    distractors: frozenset[int] = frozenset()
    all_shown: bool = True
    description: str | None = None
    description_phrases: Sequence[CorpusPhrase] = ()

    def can_be_counted(self, phrase: CorpusPhrase) -> bool:
        """False if the phrase has another count than the number of its regions."""
        counts = [entry.count for entry in self.counts if entry.text.casefold() == phrase.text.casefold()]
        return all(count == len(phrase.region_indices or []) for count in counts)

    def trust_of(self, question: TrainingQuestion) -> LabelTrust | None:
        """The trust in the label behind a question's answer; None if it is gold."""
        return None if question.label_key is None else self.trust.get(question.label_key)


def with_labels_as_captions(labels: ImageLabels) -> ImageLabels:
    """Give every box without a brief caption its class as one."""
    regions = [
        region.model_copy(update={"caption": region.label}) if region and not region.caption else region
        for region in labels.regions
    ]
    return replace(labels, regions=regions)


def with_names_as_phrases(labels: ImageLabels) -> ImageLabels:
    """Add every name of a box as a phrase that means all boxes of that name; existing phrases stay.

    A box's name is its caption, else its class; case is ignored. Returns `labels` unchanged if a labelled
    box has no name, shows background only, or is not shown. A new phrase is trusted as much as the least
    trusted of its names.
    """
    if not labels.all_shown:
        return labels
    boxes_by_name: dict[str, list[tuple[str, int]]] = {}
    for position, region in enumerate(labels.regions):
        if position in labels.distractors:
            continue
        name = (region.caption or region.label) if region is not None else None
        if not name:
            return labels
        boxes_by_name.setdefault(name.casefold(), []).append((name, position))
    for phrase in labels.phrases:
        boxes_by_name.pop(phrase.text.casefold(), None)
    phrases, trust = list(labels.phrases), dict(labels.trust)
    for boxes in boxes_by_name.values():
        text, positions = boxes[0][0], [position for _, position in boxes]
        phrases.append(CorpusPhrase(text=text, region_indices=positions))
        name_trust = least_trusted(
            labels.trust.get((LabelKind.BRIEF_CAPTION, position, None)) for position in positions
        )
        if name_trust is not None:
            trust |= {(kind, None, text): name_trust for kind in _PHRASE_KINDS}
    return replace(labels, phrases=phrases, trust=trust)


def least_trusted(trusts: Iterable[LabelTrust | None]) -> LabelTrust | None:
    """The lowest trust; the order is a model's label by its confidence, gold (None), a person's label."""

    def strength(trust: LabelTrust | None) -> float:
        if trust is None or (not trust.human and trust.confidence is None):
            return 1.0
        return 2.0 if trust.human else trust.confidence or 0.0

    return min(trusts, key=strength)


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
        balance_absent(pool, rng, negative_share) if pool[0].kind in _PHRASE_KINDS else pool
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
