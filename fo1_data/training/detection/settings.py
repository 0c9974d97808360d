"""The settings of `fo1 train-detector`. Imports no torch."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class DetectorConfig:
    """Everything that decides the result of training the detector, besides its data.

    The command line describes each of them.
    """

    steps: int = 400
    batch_images: int = 4
    learning_rate: float = 1e-3
    validation_share: float = 0.1
    tile_px: int | None = None
    long_edge_px: int | None = None
    seed: int = 0
    threads: int | None = None
    device: str | None = None

    def deciding(self) -> dict[str, Any]:
        """The settings that a resumed run must have too: not where it computes.

        The long edge is not among them: the run finds it if it is not given.
        """
        others = ("threads", "device", "long_edge_px")
        return {name: value for name, value in asdict(self).items() if name not in others}
