"""Which questions are asked about an image: one a region for captions and text, one a phrase (or
vocabulary word) and chunk for what points at regions, one an example, and the user's own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fo1_data.model.engine.engine import OpenImage
from fo1_data.model.prompts import REGION_PLACE, clean_phrase, own_question, question_text
from schemas.labels import LabelKind


@dataclass(frozen=True)
class PlannedQuestion:
    """A question and what its answer will label. `region` counts in the image, `chunk` in its prompts."""

    kind: LabelKind
    text: str
    chunk: int = 0
    region: int | None = None
    phrase: str | None = None


def plan_questions(
    kinds: Sequence[LabelKind],
    image: OpenImage,
    vocabulary: Sequence[str],
    phrases: Sequence[str],
    examples: Sequence[int] = (),
    question: str | None = None,
) -> list[PlannedQuestion]:
    """All questions about one image, in the order of `kinds`; phrases asked twice are asked once.

    `examples`: regions to find more of, by index; an example is asked about among the boxes of its own
    chunk. `question`: the user's, asked of every region where it holds `{region}`, else once.
    """
    planned: list[PlannedQuestion] = []
    for kind in kinds:
        if kind.per_region:
            planned += _of_regions(kind, image, range(image.num_regions))
        elif kind is LabelKind.GROUNDED_CAPTION:
            planned += [PlannedQuestion(kind, question_text(kind), c) for c in range(len(image.chunk_starts))]
        elif kind is LabelKind.VISUAL_EXAMPLE:
            planned += _of_regions(kind, image, examples)
        elif kind is LabelKind.ASK:
            planned += _own(question or "", image)
        else:
            wanted = phrases if kind is LabelKind.GROUND else vocabulary
            planned += _of_phrases(kind, image, wanted)
    return planned


def _of_regions(kind: LabelKind, image: OpenImage, regions: Sequence[int]) -> Iterator[PlannedQuestion]:
    for region in regions:
        chunk, index = image.locate(region)
        yield PlannedQuestion(kind, question_text(kind, region=index), chunk, region)


def _own(question: str, image: OpenImage) -> Iterator[PlannedQuestion]:
    """The user's question; `phrase` keeps it as it was given."""
    if not asks_of_regions(question):
        yield PlannedQuestion(LabelKind.ASK, own_question(question), phrase=question)
        return
    for region in range(image.num_regions):
        chunk, index = image.locate(region)
        text = own_question(question, region=index)
        yield PlannedQuestion(LabelKind.ASK, text, chunk, region, phrase=question)


def asks_of_regions(question: str) -> bool:
    """True for a question that is asked of every region."""
    return REGION_PLACE in question


def _of_phrases(kind: LabelKind, image: OpenImage, wanted: Sequence[str]) -> Iterator[PlannedQuestion]:
    for phrase in dict.fromkeys(wanted):
        if not clean_phrase(phrase):
            continue
        text = question_text(kind, phrase=phrase)
        for chunk in range(len(image.chunk_starts)):
            yield PlannedQuestion(kind, text, chunk, phrase=phrase)
