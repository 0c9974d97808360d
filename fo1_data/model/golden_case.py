"""Reads a case of a golden folder, and compares tensors with the reference's."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from fo1_data.model.checkpoint import Checkpoint
from fo1_data.model.processing import PreparedImage

TOLERANCE = 1e-4
_EXACT = ("pixel_values", "image_grid_thw", "input_ids", "position_ids", "generated_ids")
_INPUTS = ("image_u8", "boxes_xyxy")


@dataclass(frozen=True)
class GoldenCase:
    """An image with its boxes and prompts, and the reference's tensors of every stage by name."""

    prompts: list[dict[str, Any]]
    tensors: dict[str, Tensor]

    @classmethod
    def load(cls, path: Path) -> "GoldenCase":
        """Load `path`.json and `path`.safetensors."""
        document = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        return cls(document["prompts"], load_file(path.with_suffix(".safetensors")))

    def prepare(self, checkpoint: Checkpoint) -> PreparedImage:
        """The image and its boxes, prepared by the checkpoint's processor."""
        image = Image.fromarray(self.tensors["image_u8"].numpy())
        return checkpoint.processor.prepare(image, self.tensors["boxes_xyxy"].numpy())


class TensorComparison:
    """Compares tensors by name with the expected ones, and collects the largest differences."""

    def __init__(self, expected: dict[str, Tensor]) -> None:
        self.expected = {name: tensor for name, tensor in expected.items() if name not in _INPUTS}
        self._differences: dict[str, float] = {}
        self._wrong: list[str] = []

    def check(self, name: str, actual: Tensor) -> None:
        """Compare a tensor; nothing happens if none is expected by this name. Shapes may differ in 1s."""
        expected = self.expected.get(name)
        if expected is None:
            return
        actual = actual.detach().cpu()
        if actual.numel() != expected.numel():
            self._differences[name] = float("inf")
            self._wrong.append(name)
            return
        actual = actual.reshape(expected.shape)
        difference = (actual.double() - expected.double()).abs()
        self._differences[name] = float(difference.max()) if expected.numel() else 0.0
        if name.rpartition(".")[2] in _EXACT:
            agrees = bool((difference == 0).all())
        else:
            agrees = torch.allclose(actual.float(), expected.float(), TOLERANCE, TOLERANCE)
        if not agrees:
            self._wrong.append(name)

    def result(self, *, tokens_equal: bool = True) -> dict[str, Any]:
        """The case's part of the document: ok if every expected tensor was compared and agrees."""
        unchecked = sorted(set(self.expected) - set(self._differences))
        return {
            "ok": not self._wrong and tokens_equal and not unchecked,
            "tensors": self._differences,
            "tokens_equal": tokens_equal,
            "wrong": self._wrong,
            "unchecked": unchecked,
        }
