"""Rows whose boxes people changed: the model is asked again for what is missing or about the old boxes.

Regions that a person drew or moved are asked about, and phrases, examples and counts that lost their ground
(`is_to_ask_again`). Everything else in the row stays as it is, above all what a person wrote or confirmed; an
image's caption with its phrases and answers to free questions wait for a person. The prompt shows all boxes
of the row, in its order.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from fo1_data.corpus.images import DecodedImage
from fo1_data.dataset.human_labels import is_to_ask_again, stale_kinds
from fo1_data.labelling.asking import RowQuestions, fill_rows
from fo1_data.labelling.questions import LabelQuestion, QuestionPlan
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.questions import OpenImage
from schemas.corpus import CorpusImage
from schemas.images import Count, Grounding, ImageRow
from schemas.labels import Label, LabelKind, strictest
from schemas.regions import TEXT_COLUMNS

_NAMING = (LabelKind.DETECT, LabelKind.GROUND, LabelKind.COUNT, LabelKind.VISUAL_EXAMPLE)


def has_stale_regions(row: ImageRow, kinds: Sequence[LabelKind]) -> bool:
    """True if a region or a phrase of the row waits to be asked about, for one of the kinds."""
    if any(stale_kinds(region, list(kinds)) for region in row.regions):
        return True
    return any(_stale_phrases(row, kind) for kind in kinds)


def relabel_stale_regions(
    engine: Fo1Engine, row: ImageRow, image: DecodedImage, plan: QuestionPlan
) -> ImageRow:
    """A copy of the row in which its stale regions and phrases have fresh labels. Raises MemoryError."""
    fresh = row.model_copy(deep=True)
    waiting = {region.index: set(stale_kinds(region, list(plan.kinds))) for region in fresh.regions}
    boxes = np.array([region.box_xyxy for region in fresh.regions], dtype=np.float32).reshape(-1, 4)
    opened = engine.open([(image.rgb, boxes)])
    try:
        questions = [
            *_questions_of_regions(opened[0], plan, waiting),
            *_questions_of_phrases(opened[0], plan, fresh),
        ]
        _forget_stale(fresh, waiting, plan.kinds)
        fill_rows(engine, [RowQuestions(fresh, CorpusImage(uri=row.uri), opened[0], image.rgb, questions)])
    finally:
        engine.close(opened)
    fresh.caption, fresh.source_caption, fresh.meta = row.caption, row.source_caption, row.meta
    for region in fresh.regions:
        region.decision = strictest(label.decision for label in region.labels)
    fresh.decision = strictest(label.decision for label in fresh.all_labels())
    return fresh


def _stale_phrases(row: ImageRow, kind: LabelKind) -> list[str]:
    """The phrases of a kind that wait to be asked again; of visual examples, the ids of their regions."""
    if kind not in _NAMING:
        return []
    parts: list[Grounding | Count] = [*row.groundings, *row.counts]
    return [part.phrase for part in parts if part.label.kind is kind and is_to_ask_again(part.label)]


def _questions_of_regions(
    image: OpenImage, plan: QuestionPlan, waiting: dict[int, set[LabelKind]]
) -> list[LabelQuestion]:
    per_region = replace(plan, kinds=[kind for kind in plan.kinds if kind.per_region])
    return [question for question in per_region.of(image) if question.kind in waiting[question.region or 0]]


def _questions_of_phrases(image: OpenImage, plan: QuestionPlan, row: ImageRow) -> list[LabelQuestion]:
    index_of = {region.region_id: region.index for region in row.regions}
    questions: list[LabelQuestion] = []
    for kind in plan.kinds:
        phrases = _stale_phrases(row, kind)
        examples = [index_of[phrase] for phrase in phrases if phrase in index_of]
        questions += replace(
            plan, kinds=[kind] if phrases else [], vocabulary=phrases, phrases=phrases, examples=examples
        ).of(image)
    return questions


def _forget_stale(row: ImageRow, waiting: dict[int, set[LabelKind]], kinds: Sequence[LabelKind]) -> None:
    for region in row.regions:
        for kind in waiting[region.index]:
            setattr(region, TEXT_COLUMNS[kind], None)
        region.labels = [
            label
            for label in region.labels
            if not (is_to_ask_again(label) and label.kind in waiting[region.index])
        ]
    asked = set(kinds) & set(_NAMING)
    row.groundings = [part for part in row.groundings if not _is_asked(part.label, asked)]
    row.counts = [part for part in row.counts if not _is_asked(part.label, asked)]


def _is_asked(label: Label, kinds: Collection[LabelKind]) -> bool:
    return label.kind in kinds and is_to_ask_again(label)
