"""Questions and answers about one image, made of what is known of it.

Indices in questions and answers are those of the prompt: `indices[i]` names the i-th box shown. What is
not known is not asked. Answers are the strings that `fo1_data.model.parsing` reads.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fo1_data.model.choice_question import draw_choice
from fo1_data.model.mentions import join_mentions, mentions
from fo1_data.model.prompts import own_question, question_text
from schemas.corpus import CorpusAnswer, CorpusCount, CorpusExample, CorpusPhrase, CorpusRegion
from schemas.labels import LabelKind

BACKGROUND = "background"
_OF_PHRASES = (LabelKind.GROUND, LabelKind.COUNT)
# The kind of a label, the position of its box, and its phrase or question.
TrustKey = tuple[LabelKind, int | None, str | None]


@dataclass(frozen=True)
class Question:
    """One question with its right answer.

    `asked`: the box a question is about (its position in the prompt), or None. `named`: the positions
    of the boxes that the answer names, in the order it names them. `anchor`: the box that the phrase
    relates them to, or None. `rests_on`: the label that the answer is made of, or None where it is gold.
    """

    text: str
    answer: str
    kind: LabelKind
    asked: int | None = None
    named: tuple[int, ...] = ()
    anchor: int | None = None
    rests_on: TrustKey | None = None


@dataclass(frozen=True)
class Trust:
    """How far a label of a dataset is to be trusted: a person's, or a model's with its confidence."""

    human: bool
    confidence: float | None = None


@dataclass(frozen=True)
class Known:
    """What is known of an image, by position in the prompt.

    regions[i]: None where box i is mere background; `phrases`, `counts`, `answers` and `examples` as in
    gold, their indices being positions in the prompt. `caption`: every region has its label, so that the
    image can be described by them. `distractors`: positions of boxes that are shown beside the labelled ones.
    `all_shown`: no labelled box of the image is left out. `description`: the image's own caption, in which
    `description_phrases` stand in their order.
    """

    regions: Sequence[CorpusRegion | None]
    phrases: Sequence[CorpusPhrase] = ()
    counts: Sequence[CorpusCount] = ()
    caption: bool = False
    answers: Sequence[CorpusAnswer] = ()
    examples: Sequence[CorpusExample] = ()
    trust: Mapping[TrustKey, Trust] = field(default_factory=dict)
    distractors: frozenset[int] = frozenset()
    all_shown: bool = True
    description: str | None = None
    description_phrases: Sequence[CorpusPhrase] = ()

    def can_be_counted(self, phrase: CorpusPhrase) -> bool:
        """False where the regions that a phrase names are not as many as it is said to have."""
        said = [one.count for one in self.counts if one.text.casefold() == phrase.text.casefold()]
        return all(count == len(phrase.region_indices or []) for count in said)

    def trust_in(self, question: Question) -> Trust | None:
        """What the answer to a question rests on; None where it is gold."""
        return None if question.rests_on is None else self.trust.get(question.rests_on)


def with_names_as_phrases(known: Known) -> Known:
    """With every name of the boxes as a phrase that means all boxes of that name, unless it is a phrase
    already; as it is where a labelled box has no name (its caption, else its label), is mere background, or
    is not shown.

    Case makes no difference; such a phrase is trusted as far as the weakest of the names it is made of.
    """
    if not known.all_shown:
        return known
    boxes: dict[str, list[tuple[str, int]]] = {}
    for position, region in enumerate(known.regions):
        if position in known.distractors:
            continue
        name = (region.caption or region.label) if region is not None else None
        if not name:
            return known
        boxes.setdefault(name.casefold(), []).append((name, position))
    for phrase in known.phrases:
        boxes.pop(phrase.text.casefold(), None)
    phrases, trust = list(known.phrases), dict(known.trust)
    for named in boxes.values():
        text, places = named[0][0], [position for _, position in named]
        phrases.append(CorpusPhrase(text=text, region_indices=places))
        together = weakest(known.trust.get((LabelKind.BRIEF_CAPTION, place, None)) for place in places)
        if together is not None:
            trust |= {(kind, None, text): together for kind in _OF_PHRASES}
    return replace(known, phrases=phrases, trust=trust)


def weakest(trusts: Iterable[Trust | None]) -> Trust | None:
    """What is trusted least: a model's word by its confidence, then gold (None), then a person's."""

    def strength(one: Trust | None) -> float:
        if one is None or (not one.human and one.confidence is None):
            return 1.0
        return 2.0 if one.human else one.confidence or 0.0

    return min(trusts, key=strength)


def objects_text(named: Sequence[int], indices: Sequence[int]) -> str:
    """`<objects><region3><region7></objects>`."""
    return "<objects>" + "".join(f"<region{indices[position]}>" for position in named) + "</objects>"


def pointing_answer(phrase: str, named: Sequence[int], indices: Sequence[int]) -> str:
    """`<ground>phrase</ground><objects>...</objects>`; an absent phrase has an empty list."""
    return f"<ground>{phrase}</ground>{objects_text(named, indices)}"


def region_questions(known: Known, indices: Sequence[int]) -> list[Question]:
    """Every question about a single box whose answer is known."""
    found = []
    for position, region in enumerate(known.regions):
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
        found += [
            Question(
                question_text(kind, region=indices[position]),
                answer,
                kind,
                asked=position,
                rests_on=(kind, position, None),
            )
            for kind, answer in answers.items()
            if answer is not None
        ]
    return found


def phrase_question(phrase: CorpusPhrase, indices: Sequence[int]) -> Question:
    """`Please detect {phrase}`, with the boxes in the order of the prompt."""
    named = tuple(sorted(phrase.region_indices or []))
    answer = pointing_answer(phrase.text, named, indices)
    return Question(
        question_text(LabelKind.GROUND, phrase=phrase.text),
        answer,
        LabelKind.GROUND,
        named=named,
        rests_on=(LabelKind.GROUND, None, phrase.text),
    )


def count_question(phrase: CorpusPhrase, indices: Sequence[int]) -> Question:
    """`How many {phrase}`: the located boxes, then their number."""
    named = tuple(sorted(phrase.region_indices or []))
    answer = f"{pointing_answer(phrase.text, named, indices)} {len(named)}"
    text = question_text(LabelKind.COUNT, phrase=phrase.text)
    rests_on = (LabelKind.COUNT, None, phrase.text)
    return Question(text, answer, LabelKind.COUNT, named=named, rests_on=rests_on)


def example_question(example: CorpusExample, indices: Sequence[int]) -> Question:
    """More of what the region at a position shows; none: an empty list."""
    named = tuple(sorted(example.region_indices))
    text = question_text(LabelKind.VISUAL_EXAMPLE, region=indices[example.region_index])
    answer = objects_text(named, indices)
    kind, place = LabelKind.VISUAL_EXAMPLE, example.region_index
    return Question(text, answer, kind, asked=place, named=named, rests_on=(kind, place, None))


def own_answer(one: CorpusAnswer, indices: Sequence[int]) -> Question:
    """A free question with its answer, reasoning first and apart where there is any."""
    place = None if one.region_index is None else indices[one.region_index]
    answer = one.answer
    if one.reasoning:
        answer = f"<think>{one.reasoning}</think><answer>{one.answer}</answer>"
    text = own_question(one.question, region=place)
    rests_on = (LabelKind.ASK, one.region_index, one.question)
    return Question(text, answer, LabelKind.ASK, asked=one.region_index, rests_on=rests_on)


def choice_of(phrase: CorpusPhrase, rng: np.random.Generator) -> Question:
    """The multiple-choice question whether a phrase is in the image."""
    text, answer = draw_choice(phrase.text, bool(phrase.region_indices), rng)
    named = tuple(sorted(phrase.region_indices or []))
    return Question(text, answer, LabelKind.ASK, named=named, rests_on=(LabelKind.GROUND, None, phrase.text))


def caption_question(known: Known, indices: Sequence[int]) -> Question | None:
    """The grounded caption: the first labels in the order of the boxes, each with all its boxes."""
    spoken = mentions([region.label if region else None for region in known.regions])
    if not spoken:
        return None
    answer = join_mentions([pointing_answer(label, named, indices) for label, named in spoken])
    named = tuple(position for _, positions in spoken for position in positions)
    return Question(
        question_text(LabelKind.GROUNDED_CAPTION), answer, LabelKind.GROUNDED_CAPTION, named=named
    )


def description_question(known: Known, indices: Sequence[int]) -> Question | None:
    """The image's own caption, its grounded phrases with their boxes; None where none stands in it."""
    text, at, answer, named = known.description or "", 0, "", list[int]()
    for phrase in sorted(known.description_phrases, key=lambda one: text.find(one.text)):
        start = text.find(phrase.text, at)
        if start >= 0:
            boxes = sorted(phrase.region_indices or [])
            answer += text[at:start] + pointing_answer(phrase.text, boxes, indices)
            at, named = start + len(phrase.text), [*named, *boxes]
    if not answer:
        return None
    kind = LabelKind.GROUNDED_CAPTION
    told, whole = question_text(kind), (kind, None, None)
    return Question(told, answer + text[at:], kind, named=tuple(named), rests_on=whole)


def draw_questions(
    known: Known,
    indices: Sequence[int],
    rng: np.random.Generator,
    most: int,
    negative_share: float | None = None,
) -> list[Question]:
    """Up to `most` questions about one image, drawn evenly from the kinds whose answers are known.

    `negative_share`: which part of the phrases asked for is absent, as far as there are enough of both;
    without it they come as they are.
    """
    asked = [phrase for phrase in known.phrases if phrase.region_indices is not None]
    return _draw(_pools(known, asked, indices, rng, negative_share), most)


def _pools(
    known: Known,
    asked: list[CorpusPhrase],
    indices: Sequence[int],
    rng: np.random.Generator,
    negative_share: float | None,
) -> list[list[Question]]:
    """Questions by kind, each kind in the order in which it is drawn from its end."""
    pools: list[list[Question]] = []
    for kind in (LabelKind.BRIEF_CAPTION, LabelKind.DETAILED_CAPTION, LabelKind.OCR):
        pools.append([question for question in region_questions(known, indices) if question.kind == kind])
    pools.append([phrase_question(phrase, indices) for phrase in asked])
    pools.append([count_question(phrase, indices) for phrase in asked if known.can_be_counted(phrase)])
    pools.append([choice_of(phrase, rng) for phrase in asked])
    pools.append([example_question(example, indices) for example in known.examples])
    pools.append([own_answer(answer, indices) for answer in known.answers])
    caption = description_question(known, indices)
    if caption is None and known.caption:
        caption = caption_question(known, indices)
    pools.append([caption] if caption else [])
    drawn = [[pool[i] for i in rng.permutation(len(pool))] for pool in pools if pool]
    if negative_share is None:
        return drawn
    return [mixed(pool, rng, negative_share) if pool[0].kind in _OF_PHRASES else pool for pool in drawn]


def mixed(pool: Sequence[Question], rng: np.random.Generator, negative_share: float) -> list[Question]:
    """Pointing questions in a series that, read from its end, names nothing in `negative_share` of them,
    as far as both kinds last."""
    present = [question for question in pool if question.named]
    absent = [question for question in pool if not question.named]
    series: list[Question] = []
    while present and absent:
        series.append((absent if rng.random() < negative_share else present).pop())
    return [*present, *absent, *reversed(series)]


def _draw(pools: list[list[Question]], most: int) -> list[Question]:
    drawn: list[Question] = []
    while pools and len(drawn) < most:
        pools = [pool for pool in pools if pool]
        for pool in pools:
            if pool and len(drawn) < most:
                drawn.append(pool.pop())
    return drawn
