"""A region's feature in a few numbers, so that regions that look alike can be told in a dataset.

The feature that the language model reads, brought to length 1, is projected by a fixed random matrix:
distances stay about what they were (Johnson and Lindenstrauss), the numbers lie about within -1 and 1.
Comparable between images of one checkpoint only.
"""

import numpy as np
import torch
from torch import Tensor

NUM_FEATURES = 8
_SEED = 20_250_916


class FeatureProjection:
    """The fixed matrix for features of one width."""

    def __init__(self, width: int, device: torch.device) -> None:
        # RandomState's stream is frozen: the same matrix with every version of numpy.
        drawn = np.random.RandomState(_SEED).standard_normal((width, NUM_FEATURES))
        self._matrix = torch.tensor(drawn / np.sqrt(NUM_FEATURES), dtype=torch.float32, device=device)

    def none(self) -> np.ndarray:
        """What an image without regions has: (0, 8)."""
        return np.zeros((0, NUM_FEATURES), np.float32)

    def __call__(self, region_embeds: Tensor) -> np.ndarray:
        """(R, D) region features to (R, 8) float32."""
        unit = torch.nn.functional.normalize(region_embeds.float(), dim=-1)
        compact: np.ndarray = (unit @ self._matrix).cpu().numpy()
        return compact
