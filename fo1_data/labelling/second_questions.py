"""Second questions about labels that look unsure, on the prefixes that are still open.

- **ask back**: does a detection of the caption's text return the region that it describes?
- **absence**: is what a phrase names in the image at all? A choice of letters, asked in both orders.
- **blind**: how probable is the caption if the question may not see the region's feature?

Each kind of question is one batch over all open images, because questions of like length waste no padding;
equal questions are asked once. The answers become signals of the labels; nothing else changes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from fo1_data.confidence.answer_signals import content_tokens
from fo1_data.confidence.cascade import is_unsure
from fo1_data.confidence.second_signals import absence_signals, ask_back_signals, blind_signals
from fo1_data.confidence.signals import as_signals
from fo1_data.labelling.rows import LabelEvidence
from fo1_data.model.choice_question import CHOICES, LETTERS, choice_question
from fo1_data.model.engine.crop_reading import reads_crops
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.generation import Generation
from fo1_data.model.engine.questions import OpenImage, Question
from fo1_data.model.prompts import PromptTokenizer, question_text
from fo1_data.model.reserved_tokens import clean_phrase
from schemas.labels import Label, LabelKind
from schemas.setting_values import SecondQuestion

# If a caption fits many regions, this many are enough to see that it does.
_MAX_RETURNED = 16


@dataclass(frozen=True)
class SecondRound:
    """Which second questions are asked, of labels whose least sure part has a probability under `below`."""

    requested: frozenset[SecondQuestion]
    below: float

    def ask(self, engine: Fo1Engine, labelled: Sequence[tuple[OpenImage, Sequence[LabelEvidence]]]) -> None:
        """Ask about the labels of all these images at once and add the resulting signals to the labels."""
        checks = [check for image, labels in labelled for check in self._plan(engine, image, labels)]
        for kind in (_AskBack, _Absence, _Blind):
            _ask_all(engine, [check for check in checks if isinstance(check, kind)])

    def _plan(
        self, engine: Fo1Engine, image: OpenImage, labels: Sequence[LabelEvidence]
    ) -> Iterator["_Check"]:
        tokenizer = engine.checkpoint.tokenizer
        for evidence in labels:
            if not is_unsure({signal.name: signal.value for signal in evidence.label.signals}, self.below):
                continue
            kind, text = evidence.label.kind, evidence.label.text
            # A detailed caption is a sentence, not the object of a detection: its answer says nothing.
            is_brief = kind is LabelKind.BRIEF_CAPTION and clean_phrase(text)
            if SecondQuestion.ASK_BACK in self.requested and is_brief:
                yield _AskBack.of(image, evidence, labels, tokenizer)
            # What was read from a crop was read without a region feature.
            has_feature = kind.per_region and not reads_crops(engine, kind)
            if SecondQuestion.BLIND in self.requested and has_feature and _has_content(evidence):
                yield _Blind.of(image, evidence)
            if SecondQuestion.ABSENCE in self.requested and kind.names_regions:
                yield _Absence.of(image, evidence, tokenizer)


class _Check(Protocol):
    """Questions about one label, and the signals that their answers give."""

    @property
    def label(self) -> Label: ...
    @property
    def questions(self) -> Sequence[Question]: ...
    def signals(self, answers: Sequence[Generation]) -> dict[str, float]: ...


@dataclass(frozen=True)
class _AskBack:
    """region: index in the chunk of the captioned region. same: indices of those with the same caption."""

    label: Label
    questions: tuple[Question]
    region: int
    same: frozenset[int]

    @classmethod
    def of(
        cls,
        image: OpenImage,
        evidence: LabelEvidence,
        all_evidence: Sequence[LabelEvidence],
        tokenizer: PromptTokenizer,
    ) -> "_AskBack":
        label = evidence.label
        chunk, region = image.locate(evidence.regions[0])
        alike = (
            image.locate(other.regions[0])
            for other in all_evidence
            if (other.label.kind, other.label.text) == (label.kind, label.text)
        )
        phrase = clean_phrase(label.text)
        forced_ids = tokenizer.answer_ids(f"<ground>{phrase}</ground><objects>")
        question = Question(
            image,
            question_text(LabelKind.DETECT, phrase=phrase),
            chunk,
            max_new_tokens=len(forced_ids) + min(image.regions_in(chunk), _MAX_RETURNED) + 1,
            forced_ids=forced_ids,
            stop_id=tokenizer.special.objects_close,
        )
        same = frozenset(index for other_chunk, index in alike if other_chunk == chunk)
        return cls(label, (question,), region, same)

    def signals(self, answers: Sequence[Generation]) -> dict[str, float]:
        return ask_back_signals(answers[0], self.region, self.same)


@dataclass(frozen=True)
class _Absence:
    """Two questions per chunk: the letters in order, and swapped."""

    label: Label
    questions: tuple[Question, ...]
    names_regions: bool

    @classmethod
    def of(cls, image: OpenImage, evidence: LabelEvidence, tokenizer: PromptTokenizer) -> "_Absence":
        letters = tuple(tokenizer.answer_ids(letter)[0] for letter in LETTERS)
        phrase = clean_phrase(evidence.answers[0].question.phrase or evidence.label.text)
        questions = tuple(
            Question(
                image,
                choice_question(phrase, options),
                answered.question.chunk,
                max_new_tokens=1,
                watched_ids=letters,
            )
            for answered in evidence.answers
            for options in (CHOICES, CHOICES[::-1])
        )
        return cls(evidence.label, questions, bool(evidence.regions))

    def signals(self, answers: Sequence[Generation]) -> dict[str, float]:
        """The signals of the chunk that most probably shows it: what is absent is in no chunk."""
        chunks = [
            absence_signals(
                [_pair(first.watched_logprobs), _pair(second.watched_logprobs[::-1])],
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
    def of(cls, image: OpenImage, evidence: LabelEvidence) -> "_Blind":
        answered = evidence.answers[0]
        forced_ids = tuple(answered.generation.token_ids[: len(content_tokens(answered.generation))])
        question = Question(
            image,
            answered.question.question.text,
            answered.question.chunk,
            max_new_tokens=len(forced_ids),
            forced_ids=forced_ids,
            hidden_regions=(image.locate(evidence.regions[0])[1],),
        )
        return cls(evidence.label, (question,), answered.generation)

    def signals(self, answers: Sequence[Generation]) -> dict[str, float]:
        return blind_signals(self.seen, answers[0])


def _pair(logprobs: Sequence[float]) -> tuple[float, float]:
    first, second = logprobs
    return first, second


def _has_content(evidence: LabelEvidence) -> bool:
    return len(content_tokens(evidence.answers[0].generation)) > 0


def _key(question: Question) -> tuple[object, ...]:
    """Equal for questions that have the same answer."""
    return (
        question.image.number,
        question.chunk,
        question.text,
        question.forced_ids,
        question.hidden_regions,
        question.watched_ids,
    )


def _ask_all(engine: Fo1Engine, checks: Sequence[_Check]) -> None:
    """Ask equal questions once, and add the signals of the answers to the labels."""
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
