"""A stock vision-language model of transformers as second model: greedy answers about crops, in batches.

The class comes with the checkpoint; code of a checkpoint is not run.
"""

from collections.abc import Sequence
from typing import Any

import torch

from fo1_data.errors import CheckpointError
from fo1_data.opinions.regions import INSTRUCTIONS, RegionQuestion, crop_of

_BATCH = 8
_MAX_TOKENS = 32


class StockModel:
    """A checkpoint that transformers loads for images and text. Raises CheckpointError."""

    def __init__(self, spec: str, device: torch.device, dtype: torch.dtype) -> None:
        from transformers import AutoModelForImageTextToText, AutoProcessor

        try:
            processors: Any = AutoProcessor
            self._processor = processors.from_pretrained(spec)
            model: Any = AutoModelForImageTextToText.from_pretrained(spec, dtype=dtype)
        except Exception as error:
            raise CheckpointError(f"{spec} cannot be loaded as a second opinion: {_line(error)}") from error
        self._model = model.to(device).eval()
        if not getattr(self._processor, "chat_template", None):
            raise CheckpointError(f"{spec} has no chat template: it cannot be asked about a picture")

    @torch.inference_mode()
    def answer(self, questions: Sequence[RegionQuestion]) -> list[str | None]:
        """See `SecondModel.answer`. Only crops of like shapes share a batch: padding would change answers."""
        alike: dict[tuple[object, ...], list[int]] = {}
        inputs = [self._inputs(question) for question in questions]
        for place, tensors in enumerate(inputs):
            alike.setdefault(tuple((name, tensor.shape) for name, tensor in tensors.items()), []).append(
                place
            )
        answers: list[str | None] = [None] * len(questions)
        for places in alike.values():
            for start in range(0, len(places), _BATCH):
                batch = places[start : start + _BATCH]
                for place, text in zip(batch, self._generate([inputs[p] for p in batch]), strict=True):
                    answers[place] = text
        return answers

    def _inputs(self, question: RegionQuestion) -> dict[str, torch.Tensor]:
        content = [{"type": "image"}, {"type": "text", "text": INSTRUCTIONS[question.kind]}]
        text = self._processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        return dict(self._processor(text=[text], images=[[crop_of(question)]], return_tensors="pt"))

    def _generate(self, inputs: Sequence[dict[str, torch.Tensor]]) -> list[str]:
        """The answers to questions whose tensors have the same shapes."""
        dtype, device = self._model.dtype, self._model.device
        joined = {name: torch.cat([each[name] for each in inputs]).to(device) for name in inputs[0]}
        joined = {name: t.to(dtype) if t.is_floating_point() else t for name, t in joined.items()}
        generated = self._model.generate(**joined, max_new_tokens=_MAX_TOKENS, do_sample=False)
        new_ids = generated[:, joined["input_ids"].shape[1] :]
        return [text.strip() for text in self._processor.batch_decode(new_ids, skip_special_tokens=True)]


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
