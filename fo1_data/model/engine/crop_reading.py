"""Texts read from crops of their boxes, by a checkpoint whose configuration says so.

Each crop is an open image of its own, at the image's resolution (`ImageProcessor.prepare_crop`), without
regions: the language model reads it from the base's vision tower alone. At most 128 are open at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.generation import Generation
from fo1_data.model.engine.questions import Question
from fo1_data.model.prompts import CROP_QUESTION
from schemas.labels import LabelKind
from schemas.regions import Box

_MOST_OPEN = 128


@dataclass(frozen=True)
class CropQuestion:
    """What does a box read? image: RGB; box_xyxy: in its pixels; max_new_tokens: the limit on the answer."""

    image: Image.Image
    box_xyxy: Box
    max_new_tokens: int


def reads_crops(engine: Fo1Engine, kind: LabelKind) -> bool:
    """Whether the checkpoint answers questions of this kind from crops."""
    return kind is LabelKind.OCR and engine.checkpoint.config.ocr_crop_min_pixels is not None


def ask_all(engine: Fo1Engine, questions: Sequence[Question | CropQuestion]) -> list[Generation]:
    """Answer in order; those about open images are one batch. Raises as `Fo1Engine.ask`."""
    answers = iter(engine.ask([question for question in questions if isinstance(question, Question)]))
    crops = [question for question in questions if isinstance(question, CropQuestion)]
    texts: list[Generation] = []
    for start in range(0, len(crops), _MOST_OPEN):
        texts += _read(engine, crops[start : start + _MOST_OPEN])
    read = iter(texts)
    return [next(answers if isinstance(question, Question) else read) for question in questions]


def _read(engine: Fo1Engine, crops: Sequence[CropQuestion]) -> list[Generation]:
    prepare = engine.checkpoint.processor.prepare_crop
    opened = engine.open_prepared([prepare(crop.image, crop.box_xyxy) for crop in crops])
    try:
        return engine.ask(
            [
                Question(image, CROP_QUESTION, max_new_tokens=crop.max_new_tokens)
                for image, crop in zip(opened, crops, strict=True)
            ]
        )
    finally:
        engine.close(opened)
