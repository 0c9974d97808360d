"""Images through a detector of transformers, prepared one by one and batched where their tensors agree.

Nothing is padded to fit a batch, so that the boxes of an image do not depend on the rest of the batch.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image

Tensors = dict[str, torch.Tensor]
Result = TypeVar("Result")
_BATCH_IMAGES = 8


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A model in evaluation mode on a device, with its processor. spec: the name that the user gave."""

    spec: str
    folder: Path
    model: Any
    processor: Any
    device: torch.device


def tensors_of(inputs: Any) -> Tensors:
    """The tensors that a processor made."""
    return {key: value for key, value in inputs.items() if isinstance(value, torch.Tensor)}


def in_batches(
    prepared: Sequence[Tensors],
    forward: Callable[[Tensors, list[int]], Sequence[Result]],
    keys: Sequence[Hashable] | None = None,
) -> list[Result]:
    """The results of `forward` for each image. It gets the tensors of a batch and the places of its images.

    keys: images are batched only with those of an equal key.
    """
    groups: dict[Any, list[int]] = defaultdict(list)
    for index, inputs in enumerate(prepared):
        shapes = tuple(sorted((name, tuple(tensor.shape[1:])) for name, tensor in inputs.items()))
        groups[shapes, keys[index] if keys is not None else None].append(index)
    results: dict[int, Result] = {}
    for indices in groups.values():
        for start in range(0, len(indices), _BATCH_IMAGES):
            batch = indices[start : start + _BATCH_IMAGES]
            inputs = {key: torch.cat([prepared[index][key] for index in batch]) for key in prepared[batch[0]]}
            results.update(zip(batch, forward(inputs, batch), strict=True))
    return [results[index] for index in range(len(prepared))]


def frame_hw(processor: Any, image: Image.Image, inputs: Tensors) -> tuple[float, float]:
    """Height and width, in pixels of the image, of what normalised boxes are parts of.

    That is the image, unless the processor pads every image to a fixed size: then it is the padded picture.
    (In training, such a processor has made the boxes parts of the padded picture too.)
    """
    images = getattr(processor, "image_processor", processor)
    if not (getattr(images, "do_pad", False) and getattr(images, "pad_size", None)):
        return float(image.height), float(image.width)
    resized = images(images=[image], do_pad=False, return_tensors="pt")["pixel_values"].shape[-2:]
    padded = inputs["pixel_values"].shape[-2:]
    return image.height * padded[0] / resized[0], image.width * padded[1] / resized[1]
