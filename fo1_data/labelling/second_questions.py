"""Second questions about labels that look unsure, on the prefixes that are still open.

- **ask back**: is the region that a caption was given for found by its text?
- **absence**: is what a phrase names in the image at all, by a choice of letters in both orders?
- **blind**: how likely is the caption to a question that may not see its region's feature?

Each kind of question is one batch over all open images, for questions of like length waste no
padding; equal ones are asked once. The answers become signals of the labels, nothing else changes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from fo1_data.confidence.answer_signals import content_tokens
from fo1_data.confidence.cascade import is_unsure
from fo1_data.confidence.second_signals import absence_signals, ask_back_signals, blind_signals
from fo1_data.confidence.signals import as_signals
from fo1_data.labelling.rows import Said
from fo1_data.model.choice_question import CHOICES, LETTERS, choice_question
from fo1_data.model.engine.engine import Fo1Engine, OpenImage, Question
from fo1_data.model.engine.generation import Generation
from fo1_data.model.prompts import PromptTokenizer, clean_phrase, question_text
from schemas.jobs import SecondQuestion
from schemas.labels import Label, LabelKind

_PHRASES = (LabelKind.GROUND, LabelKind.DETECT, LabelKind.COUNT, LabelKind.GROUNDED_CAPTION)
# Of a caption that fits many regions, no more are listed than tell that it does.
_MOST_RETURNED = 16


@dataclass(frozen=True)
class SecondRound:
    """Which second questions are asked: of labels whose least sure part is less probable than `below`."""

    wanted: frozenset[SecondQuestion]
    below: float

    def ask(self, engine: Fo1Engine, told: Sequence[tuple[OpenImage, Sequence[Said]]]) -> None:
        """Ask about the labels of all these images at once and add what comes out to their signals."""
        tokenizer = engine.checkpoint.tokenizer
        checks = [check for image, said in told for check in self._plan(image, said, tokenizer)]
        for kind in (_AskBack, _Absence, _Blind):
            _ask_all(engine, [check for check in checks if isinstance(check, kind)])

    def _plan(self, image: OpenImage, said: Sequence[Said], tokenizer: PromptTokenizer) -> Iterator["_Check"]:
        for one in said:
            if not is_unsure({signal.name: signal.value for signal in one.label.signals}, self.below):
                continue
            kind, text = one.label.kind, one.label.text
            # A detailed caption is a sentence, not what a detection is asked for: its answer tells nothing.
            briefly = kind is LabelKind.BRIEF_CAPTION and clean_phrase(text)
            if SecondQuestion.ASK_BACK in self.wanted and briefly:
                yield _AskBack.of(image, one, said, tokenizer)
            if SecondQuestion.BLIND in self.wanted and kind.per_region and _said_anything(one):
                yield _Blind.of(image, one)
            if SecondQuestion.ABSENCE in self.wanted and kind in _PHRASES:
                yield _Absence.of(image, one, tokenizer)


class _Check(Protocol):
    """Questions about one label, and what their answers say of it."""

    @property
    def label(self) -> Label: ...
    @property
    def questions(self) -> Sequence[Question]: ...
    def signals(self, answers: Sequence[Generation]) -> dict[str, float]: ...


@dataclass(frozen=True)
class _AskBack:
    """`region` and `same`: indices in the chunk of the region captioned and of those captioned alike."""

    label: Label
    questions: tuple[Question]
    region: int
    same: frozenset[int]

    @classmethod
    def of(
        cls, image: OpenImage, said: Said, all_said: Sequence[Said], tokenizer: PromptTokenizer
    ) -> "_AskBack":
        chunk, region = image.locate(said.regions[0])
        alike = (
            image.locate(one.regions[0])
            for one in all_said
            if (one.label.kind, one.label.text) == (said.label.kind, said.label.text)
        )
        phrase = clean_phrase(said.label.text)
        given = tokenizer.answer_ids(f"<ground>{phrase}</ground><objects>")
        question = Question(
            image,
            question_text(LabelKind.DETECT, phrase=phrase),
            chunk,
            max_new_tokens=len(given) + min(image.regions_in(chunk), _MOST_RETURNED) + 1,
            given=given,
            last_token=tokenizer.special.objects_close,
        )
        return cls(said.label, (question,), region, frozenset(place for at, place in alike if at == chunk))

    def signals(self, answers: Sequence[Generation]) -> dict[str, float]:
        return ask_back_signals(answers[0], self.region, self.same)


@dataclass(frozen=True)
class _Absence:
    """Two questions a chunk: the letters in order, and swapped."""

    label: Label
    questions: tuple[Question, ...]
    names_regions: bool

    @classmethod
    def of(cls, image: OpenImage, said: Said, tokenizer: PromptTokenizer) -> "_Absence":
        letters = tuple(tokenizer.answer_ids(letter)[0] for letter in LETTERS)
        phrase = clean_phrase(said.answers[0].question.phrase or said.label.text)
        questions = tuple(
            Question(
                image,
                choice_question(phrase, options),
                answered.question.chunk,
                max_new_tokens=1,
                watched=letters,
            )
            for answered in said.answers
            for options in (CHOICES, CHOICES[::-1])
        )
        return cls(said.label, questions, bool(said.regions))

    def signals(self, answers: Sequence[Generation]) -> dict[str, float]:
        """Of several chunks the one that is likeliest to show it: absent is what no chunk shows."""
        chunks = [
            absence_signals(
                [(first.watched[0], first.watched[1]), (second.watched[1], second.watched[0])],
                self.names_regions,
            )
            for first, second in zip(answers[::2], answers[1::2], strict=True)
        ]
        return min(chunks, key=lambda values: values["absence_probability"])


@dataclass(frozen=True)
class _Blind:
    label: Label
    questions: tuple[Question]
    seen: Generation

    @classmethod
    def of(cls, image: OpenImage, said: Said) -> "_Blind":
        answered = said.answers[0]
        given = tuple(answered.generation.token_ids[: len(content_tokens(answered.generation))])
        question = Question(
            image,
            answered.question.text,
            answered.question.chunk,
            max_new_tokens=len(given),
            given=given,
            hidden_regions=(image.locate(said.regions[0])[1],),
        )
        return cls(said.label, (question,), answered.generation)

    def signals(self, answers: Sequence[Generation]) -> dict[str, float]:
        return blind_signals(self.seen, answers[0])


def _said_anything(said: Said) -> bool:
    return len(content_tokens(said.answers[0].generation)) > 0


def _key(question: Question) -> tuple[object, ...]:
    """Equal for questions that have the same answer."""
    return (
        question.image.number,
        question.chunk,
        question.text,
        question.given,
        question.hidden_regions,
        question.watched,
    )


def _ask_all(engine: Fo1Engine, checks: Sequence[_Check]) -> None:
    """Ask equal questions once, and add what the answers say to the labels' signals."""
    places: dict[tuple[object, ...], int] = {}
    questions: list[Question] = []
    for check in checks:
        for question in check.questions:
            if places.setdefault(_key(question), len(questions)) == len(questions):
                questions.append(question)
    if not questions:
        return
    answers = engine.ask(questions)
    for check in checks:
        values = check.signals([answers[places[_key(question)]] for question in check.questions])
        check.label.signals = [*check.label.signals, *as_signals(values)]
