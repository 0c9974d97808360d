"""Compresses a region's feature to a few numbers, to find regions of a dataset that look alike.

The feature that the language model reads is scaled to length 1 and projected by a fixed random matrix. This
roughly preserves distances (Johnson and Lindenstrauss), and the numbers lie roughly between -1 and 1. They
are comparable between images, but only for the same checkpoint.

Shapes: R regions, D language model width.
"""

import numpy as np
import torch
from torch import Tensor

NUM_FEATURES = 8
_SEED = 20_250_916


class FeatureProjection:
    """Projects features of a width D to NUM_FEATURES numbers."""

    def __init__(self, width: int, device: torch.device) -> None:
        # RandomState's stream is frozen: the same matrix with every version of numpy.
        drawn = np.random.RandomState(_SEED).standard_normal((width, NUM_FEATURES))
        self._matrix_D8 = torch.tensor(drawn / np.sqrt(NUM_FEATURES), dtype=torch.float32, device=device)

    def none(self) -> np.ndarray:
        """The result for an image without regions: (0, 8) float32."""
        return np.zeros((0, NUM_FEATURES), np.float32)

    def __call__(self, embeds_RD: Tensor) -> np.ndarray:
        """Region features to (R, 8) float32."""
        unit_RD = torch.nn.functional.normalize(embeds_RD.float(), dim=-1)
        compact_R8: np.ndarray = (unit_RD @ self._matrix_D8).cpu().numpy()
        return compact_R8
