"""Regions that a person drew or moved, asked about again: what is missing or was said of the old box.

Everything else in the row stays as it is, above all what a person said. Only kinds that ask about one
region are asked; the boxes of the whole row are shown, in its order.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fo1_data.corpus.images import DecodedImage
from fo1_data.dataset.human_labels import is_stale, stale_kinds
from schemas.corpus import CorpusImage
from schemas.images import ImageRow
from schemas.labels import LabelKind, strictest
from schemas.regions import TEXT_COLUMNS

if TYPE_CHECKING:
    from fo1_data.model.engine.engine import Fo1Engine


def has_stale_regions(row: ImageRow, kinds: Sequence[LabelKind]) -> bool:
    """True where a region of the row waits to be asked about, for one of the kinds."""
    return any(stale_kinds(region, list(kinds)) for region in row.regions)


def ask_again(
    engine: "Fo1Engine",
    row: ImageRow,
    image: DecodedImage,
    kinds: Sequence[LabelKind],
    max_new_tokens: int,
) -> ImageRow:
    """A copy of the row in which its stale regions have fresh labels. Raises MemoryError."""
    from fo1_data.labelling.questions import plan_questions
    from fo1_data.labelling.rows import Answered, fill_row
    from fo1_data.model.engine.engine import Question

    fresh = row.model_copy(deep=True)
    waiting = {region.index: set(stale_kinds(region, list(kinds))) for region in fresh.regions}
    boxes = np.array([region.box_xyxy for region in fresh.regions], dtype=np.float32).reshape(-1, 4)
    opened = engine.open([(image.rgb, boxes)])
    try:
        asked = [kind for kind in kinds if kind.per_region]
        planned = [
            question
            for question in plan_questions(asked, opened[0], [], [])
            if question.kind in waiting[question.region or 0]
        ]
        questions = [Question(opened[0], one.text, one.chunk, max_new_tokens) for one in planned]
        answers = [Answered(one, answer) for one, answer in zip(planned, engine.ask(questions), strict=True)]
        _forget_stale(fresh, waiting)
        fill_row(fresh, CorpusImage(uri=row.uri), opened[0], answers)
    finally:
        engine.close(opened)
    fresh.caption, fresh.meta = row.caption, row.meta
    for region in fresh.regions:
        region.decision = strictest(label.decision for label in region.labels)
    fresh.decision = strictest(label.decision for label in fresh.all_labels())
    return fresh


def _forget_stale(row: ImageRow, waiting: dict[int, set[LabelKind]]) -> None:
    for region in row.regions:
        for kind in waiting[region.index]:
            setattr(region, TEXT_COLUMNS[kind], None)
        region.labels = [label for label in region.labels if not is_stale(label)]
