"""Asks the engine about open images and fills their rows with the answers."""

from collections.abc import Sequence
from dataclasses import dataclass

from fo1_data.labelling.questions import LabelQuestion
from fo1_data.labelling.rows import AnsweredQuestion, LabelEvidence, fill_row
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.questions import OpenImage
from schemas.corpus import CorpusImage
from schemas.images import ImageRow


@dataclass(frozen=True)
class RowQuestions:
    """A row to fill, the open image it describes, and the questions about it."""

    row: ImageRow
    entry: CorpusImage
    image: OpenImage
    questions: Sequence[LabelQuestion]


def fill_rows(engine: Fo1Engine, requests: Sequence[RowQuestions]) -> list[list[LabelEvidence]]:
    """Ask all questions as one batch and put the answers into the rows.

    Returns, for each request, its labels with the answers they were read from. Raises MemoryError.
    """
    questions = [question.question for request in requests for question in request.questions]
    generations = iter(engine.ask(questions))
    return [
        fill_row(
            request.row,
            request.entry,
            request.image,
            [AnsweredQuestion(question, next(generations)) for question in request.questions],
        )
        for request in requests
    ]
