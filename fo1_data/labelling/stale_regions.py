"""Regions that a person drew or moved: the model is asked again for what is missing or describes the old box.

Everything else in the row stays as it is, above all what a person wrote. Only kinds that ask about one
region are asked; the prompt shows all boxes of the row, in its order.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fo1_data.corpus.images import DecodedImage
from fo1_data.dataset.human_labels import is_stale, stale_kinds
from fo1_data.labelling.asking import RowQuestions, fill_rows
from fo1_data.labelling.questions import QuestionPlan
from fo1_data.model.engine.engine import Fo1Engine
from schemas.corpus import CorpusImage
from schemas.images import ImageRow
from schemas.labels import LabelKind, strictest
from schemas.regions import TEXT_COLUMNS


def has_stale_regions(row: ImageRow, kinds: Sequence[LabelKind]) -> bool:
    """True if a region of the row waits to be asked about, for one of the kinds."""
    return any(stale_kinds(region, list(kinds)) for region in row.regions)


def relabel_stale_regions(
    engine: Fo1Engine, row: ImageRow, image: DecodedImage, plan: QuestionPlan
) -> ImageRow:
    """A copy of the row in which its stale regions have fresh labels. Raises MemoryError."""
    fresh = row.model_copy(deep=True)
    waiting = {region.index: set(stale_kinds(region, list(plan.kinds))) for region in fresh.regions}
    boxes = np.array([region.box_xyxy for region in fresh.regions], dtype=np.float32).reshape(-1, 4)
    per_region = replace(plan, kinds=[kind for kind in plan.kinds if kind.per_region])
    opened = engine.open([(image.rgb, boxes)])
    try:
        questions = [
            question
            for question in per_region.of(opened[0])
            if question.kind in waiting[question.region or 0]
        ]
        _forget_stale(fresh, waiting)
        fill_rows(engine, [RowQuestions(fresh, CorpusImage(uri=row.uri), opened[0], questions)])
    finally:
        engine.close(opened)
    fresh.caption, fresh.source_caption, fresh.meta = row.caption, row.source_caption, row.meta
    for region in fresh.regions:
        region.decision = strictest(label.decision for label in region.labels)
    fresh.decision = strictest(label.decision for label in fresh.all_labels())
    return fresh


def _forget_stale(row: ImageRow, waiting: dict[int, set[LabelKind]]) -> None:
    for region in row.regions:
        for kind in waiting[region.index]:
            setattr(region, TEXT_COLUMNS[kind], None)
        region.labels = [label for label in region.labels if not is_stale(label)]
