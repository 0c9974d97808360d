"""The attributes of a scene's objects, and the linear readers that learn to tell them from features.

Shapes: R boxes, K = 27 attribute values side by side, D feature width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from fo1_data.synthetic.scenes import SceneObject
from fo1_data.synthetic.shapes import COLOURS, FILLS, NAMES, SIZES
from fo1_data.training.packing import IGNORED

ATTRIBUTES = {"shape": (*NAMES, "background"), "colour": COLOURS, "fill": FILLS, "size": SIZES}
NUM_VALUES = sum(map(len, ATTRIBUTES.values()))


def attribute_codes(objects: Sequence[SceneObject | None]) -> Tensor:
    """(R, K) float32: one-hot attributes side by side; background (None) has a shape and nothing else."""
    codes_RK = torch.zeros(len(objects), NUM_VALUES)
    for row, thing in enumerate(objects):
        if thing is None:
            codes_RK[row, len(NAMES)] = 1
            continue
        start = 0
        for name, values in ATTRIBUTES.items():
            codes_RK[row, start + values.index(getattr(thing, name))] = 1
            start += len(values)
    return codes_RK


def codes_to_classes(codes_RK: Tensor) -> dict[str, Tensor]:
    """Classes (R,) per attribute; for background, all but the shape are IGNORED."""
    is_background = codes_RK[:, len(NAMES)] > 0
    classes, start = {}, 0
    for name, values in ATTRIBUTES.items():
        class_R = codes_RK[:, start : start + len(values)].argmax(1)
        classes[name] = class_R if name == "shape" else class_R.masked_fill(is_background, IGNORED)
        start += len(values)
    return classes


class AttributeReaders(nn.Module):
    """A linear classifier per attribute."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleDict(
            {name: nn.Linear(width, len(values)) for name, values in ATTRIBUTES.items()}
        )

    def forward(self, features_RD: Tensor) -> dict[str, Tensor]:
        """Logits (R, classes) per attribute."""
        return {name: head(features_RD) for name, head in self.heads.items()}


def attribute_loss(logits: dict[str, Tensor], classes: dict[str, Tensor]) -> Tensor:
    """Sum of the cross-entropies of the four attributes."""
    losses = [
        functional.cross_entropy(logits[name], classes[name], ignore_index=IGNORED) for name in ATTRIBUTES
    ]
    return torch.stack(losses).sum()


def attribute_accuracies(logits: dict[str, Tensor], classes: dict[str, Tensor]) -> dict[str, float]:
    """The share of objects whose attribute is right, per attribute and for all four at once."""
    is_object = classes["colour"] != IGNORED
    hits = {name: (logits[name].argmax(1) == classes[name])[is_object] for name in ATTRIBUTES}
    hits["all"] = torch.stack(list(hits.values())).all(0)
    return {name: hit.float().mean().item() for name, hit in hits.items()}
