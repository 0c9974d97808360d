"""Which questions are asked about an image.

One per region for captions and text; one per phrase (or vocabulary word) and chunk for the kinds that
point at regions; one per visual example; and the user's own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fo1_data.model.engine.questions import OpenImage, Question
from fo1_data.model.prompts import REGION_PLACE, own_question, question_text
from fo1_data.model.reserved_tokens import clean_phrase
from schemas.labels import LabelKind


@dataclass(frozen=True)
class LabelQuestion:
    """A question to the engine and what its answer will label. `region` is an index in the image."""

    kind: LabelKind
    question: Question
    region: int | None = None
    phrase: str | None = None

    @property
    def chunk(self) -> int:
        """The chunk of the image that it is about."""
        return self.question.chunk


@dataclass(frozen=True)
class QuestionPlan:
    """What to ask about an image.

    vocabulary: words to detect and count. phrases: phrases to ground. examples: indices of the regions to
    find more of; each is compared with the boxes of its own chunk. question: the user's own, asked about
    every region if it holds `{region}`, else once. asked: the regions that questions about single regions are
    asked of; None: all.
    """

    kinds: Sequence[LabelKind]
    vocabulary: Sequence[str] = ()
    phrases: Sequence[str] = ()
    examples: Sequence[int] = ()
    question: str | None = None
    max_new_tokens: int = 256
    asked: Sequence[int] | None = None

    def of(self, image: OpenImage) -> list[LabelQuestion]:
        """All questions about the image, in the order of `kinds`; repeated phrases are asked once."""
        questions: list[LabelQuestion] = []
        for kind in self.kinds:
            if kind.per_region:
                questions += self._of_regions(kind, image, self._asked(image))
            elif kind is LabelKind.GROUNDED_CAPTION:
                questions += self._of_chunks(kind, image, question_text(kind))
            elif kind is LabelKind.VISUAL_EXAMPLE:
                questions += self._of_regions(kind, image, self.examples)
            elif kind is LabelKind.ASK:
                questions += self._own(image)
            else:
                questions += self._of_phrases(kind, image)
        return questions

    def _of_regions(
        self, kind: LabelKind, image: OpenImage, regions: Sequence[int]
    ) -> Iterator[LabelQuestion]:
        for region in regions:
            chunk, index = image.locate(region)
            yield LabelQuestion(
                kind, self._ask(image, question_text(kind, region=index), chunk), region=region
            )

    def _of_chunks(
        self, kind: LabelKind, image: OpenImage, text: str, phrase: str | None = None
    ) -> Iterator[LabelQuestion]:
        for chunk in range(len(image.chunk_starts)):
            yield LabelQuestion(kind, self._ask(image, text, chunk), phrase=phrase)

    def _of_phrases(self, kind: LabelKind, image: OpenImage) -> Iterator[LabelQuestion]:
        phrases = self.phrases if kind is LabelKind.GROUND else self.vocabulary
        for phrase in dict.fromkeys(phrases):
            if clean_phrase(phrase):
                yield from self._of_chunks(kind, image, question_text(kind, phrase=phrase), phrase)

    def _own(self, image: OpenImage) -> Iterator[LabelQuestion]:
        """The user's question; `phrase` keeps it as it was written."""
        question = self.question or ""
        if not asks_of_regions(question):
            yield LabelQuestion(LabelKind.ASK, self._ask(image, own_question(question)), phrase=question)
            return
        for region in self._asked(image):
            chunk, index = image.locate(region)
            asked = self._ask(image, own_question(question, region=index), chunk)
            yield LabelQuestion(LabelKind.ASK, asked, region, question)

    def _asked(self, image: OpenImage) -> Sequence[int]:
        return range(image.num_regions) if self.asked is None else self.asked

    def _ask(self, image: OpenImage, text: str, chunk: int = 0) -> Question:
        return Question(image, text, chunk, self.max_new_tokens)


def asks_of_regions(question: str) -> bool:
    """True if the question is asked about every region."""
    return REGION_PLACE in question
