"""Asks the engine about open images and fills their rows with the answers.

Where the checkpoint reads texts from crops, those questions are asked of crops in place of the open image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from fo1_data.labelling.questions import LabelQuestion
from fo1_data.labelling.rows import AnsweredQuestion, LabelEvidence, fill_row
from fo1_data.model.engine.crop_reading import CropQuestion, ask_all, reads_crops
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.questions import OpenImage, Question
from schemas.corpus import CorpusImage
from schemas.images import ImageRow


@dataclass(frozen=True)
class RowQuestions:
    """A row to fill, the open image it describes with its RGB pixels, and the questions about it."""

    row: ImageRow
    entry: CorpusImage
    image: OpenImage
    rgb: Image.Image
    questions: Sequence[LabelQuestion]


def fill_rows(engine: Fo1Engine, requests: Sequence[RowQuestions]) -> list[list[LabelEvidence]]:
    """Ask all questions as one batch, crops as another, and put the answers into the rows.

    Returns, for each request, its labels with the answers they were read from. Raises MemoryError.
    """
    generations = iter(
        ask_all(
            engine,
            [_asked(engine, request, question) for request in requests for question in request.questions],
        )
    )
    return [
        fill_row(
            request.row,
            request.entry,
            request.image,
            [AnsweredQuestion(question, next(generations)) for question in request.questions],
        )
        for request in requests
    ]


def _asked(engine: Fo1Engine, request: RowQuestions, question: LabelQuestion) -> Question | CropQuestion:
    if not reads_crops(engine, question.kind):
        return question.question
    assert question.region is not None  # a text is asked of a region
    box = request.row.regions[question.region].box_xyxy
    return CropQuestion(request.rgb, box, question.question.max_new_tokens)
