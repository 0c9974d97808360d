"""Another VLM-FO1 checkpoint as second model: the same questions, answered from region tokens, or texts
from crops where it reads them so."""

from collections.abc import Sequence

import numpy as np
import torch

from fo1_data.boxes import as_boxes
from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.model.engine.crop_reading import CropQuestion, ask_all, reads_crops
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.questions import Question
from fo1_data.model.parsing import parse_caption
from fo1_data.model.prompts import question_text
from fo1_data.opinions.regions import RegionQuestion

_MAX_TOKENS = 64


class RegionModel:
    """A VLM-FO1 checkpoint, by its name as of `--model`. Raises CheckpointError."""

    def __init__(self, spec: str, device: torch.device, dtype: torch.dtype, max_bytes: int | None) -> None:
        checkpoint = load_checkpoint(spec, device=device, dtype=dtype)
        self._engine = Fo1Engine(checkpoint, max_bytes=max_bytes)

    def answer(self, questions: Sequence[RegionQuestion]) -> list[str | None]:
        """See `SecondModel.answer`. Raises MemoryError if an image does not fit."""
        answers: list[str | None] = [None] * len(questions)
        places_of: dict[int, list[int]] = {}
        for place, question in enumerate(questions):
            places_of.setdefault(id(question.image), []).append(place)
        for places in places_of.values():
            asked = [questions[place] for place in places]
            for place, answer in zip(places, self._answer_image(asked), strict=True):
                answers[place] = answer
        return answers

    def _answer_image(self, questions: Sequence[RegionQuestion]) -> list[str]:
        """questions: about one image."""
        boxes = as_boxes([question.box_xyxy for question in questions])
        opened = self._engine.open([(questions[0].image, np.asarray(boxes, dtype=np.float32))])
        try:
            (image,) = opened
            places = [image.locate(region) for region in range(len(questions))]
            generations = ask_all(
                self._engine,
                [
                    CropQuestion(question.image, question.box_xyxy, _MAX_TOKENS)
                    if reads_crops(self._engine, question.kind)
                    else Question(image, question_text(question.kind, region=index), chunk, _MAX_TOKENS)
                    for question, (chunk, index) in zip(questions, places, strict=True)
                ],
            )
        finally:
            self._engine.close(opened)
        return [parse_caption(generation.text) for generation in generations]
