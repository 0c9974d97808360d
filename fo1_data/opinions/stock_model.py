"""A stock vision-language model of transformers as second model: greedy answers about pictures, in batches.

The class comes with the checkpoint; code of a checkpoint is not run.
"""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from fo1_data.errors import CheckpointError, first_line
from fo1_data.opinions.box_frames import box_frame_of
from fo1_data.opinions.regions import INSTRUCTIONS, RegionQuestion, box_instruction, crop_of
from schemas.setting_values import OpinionView

_BATCH = 8
# Questions whose pictures are in memory at once.
_MOST_WAITING = 64
_MAX_TOKENS = 32
_Tensors = dict[str, torch.Tensor]


class StockModel:
    """A checkpoint that transformers loads for images and text, and what it is shown of regions.

    Raises CheckpointError, and ConfigError if it is not known how it reads boxes and it is to be shown them.
    """

    def __init__(
        self, spec: str, device: torch.device, dtype: torch.dtype, view: OpinionView = OpinionView.CROP
    ) -> None:
        from transformers import AutoModelForImageTextToText, AutoProcessor

        try:
            processors: Any = AutoProcessor
            self._processor = processors.from_pretrained(spec)
            model: Any = AutoModelForImageTextToText.from_pretrained(spec, dtype=dtype)
        except Exception as error:
            raise CheckpointError(
                f"{spec} cannot be loaded as a second opinion: {first_line(error)}"
            ) from error
        self._model = model.to(device).eval()
        if not getattr(self._processor, "chat_template", None):
            raise CheckpointError(f"{spec} has no chat template: it cannot be asked about a picture")
        self._box_frame = box_frame_of(spec, model.config.model_type) if view is OpinionView.BOX else None

    @torch.inference_mode()
    def answer(self, questions: Sequence[RegionQuestion]) -> list[str | None]:
        """See `SecondModel.answer`. Only inputs of like shapes share a batch: padding changes answers."""
        answers: list[str | None] = [None] * len(questions)
        for start in range(0, len(questions), _MOST_WAITING):
            alike: dict[tuple[object, ...], list[tuple[int, _Tensors]]] = {}
            for place, question in enumerate(questions[start : start + _MOST_WAITING], start=start):
                tensors = self._inputs(question)
                shapes = tuple((name, tensor.shape) for name, tensor in tensors.items())
                alike.setdefault(shapes, []).append((place, tensors))
            for asked in alike.values():
                for first in range(0, len(asked), _BATCH):
                    places, inputs = zip(*asked[first : first + _BATCH], strict=True)
                    for place, text in zip(places, self._generate(inputs), strict=True):
                        answers[place] = text
        return answers

    def picture_and_text(self, question: RegionQuestion) -> tuple[Image.Image, str]:
        """What the model is shown, and the words that it is asked."""
        if self._box_frame is None:
            return crop_of(question), INSTRUCTIONS[question.kind]
        frame_wh = self._box_frame(self._resized_wh(question.image))
        return question.image, box_instruction(question, frame_wh)

    def _resized_wh(self, image: Image.Image) -> tuple[int, int]:
        """Width and height in pixels of an image as the model sees it."""
        images = self._processor.image_processor
        _, rows, columns = images(images=[image], return_tensors="pt")["image_grid_thw"][0].tolist()
        return columns * images.patch_size, rows * images.patch_size

    def _inputs(self, question: RegionQuestion) -> _Tensors:
        picture, words = self.picture_and_text(question)
        content = [{"type": "image"}, {"type": "text", "text": words}]
        text = self._processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        return dict(self._processor(text=[text], images=[[picture]], return_tensors="pt"))

    def _generate(self, inputs: Sequence[_Tensors]) -> list[str]:
        """The answers to questions whose tensors have the same shapes."""
        dtype, device = self._model.dtype, self._model.device
        joined = {name: torch.cat([each[name] for each in inputs]).to(device) for name in inputs[0]}
        joined = {name: t.to(dtype) if t.is_floating_point() else t for name, t in joined.items()}
        generated = self._model.generate(**joined, max_new_tokens=_MAX_TOKENS, do_sample=False)
        new_ids = generated[:, joined["input_ids"].shape[1] :]
        return [text.strip() for text in self._processor.batch_decode(new_ids, skip_special_tokens=True)]
