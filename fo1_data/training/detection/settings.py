"""The settings of `fo1 train-detector`. Imports no torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DetectorConfig:
    """Everything that decides the result of training the detector, besides its data.

    The command line describes each of them.
    """

    steps: int = 400
    batch_images: int = 4
    learning_rate: float = 1e-3
    validation_share: float = 0.1
    seed: int = 0
    threads: int | None = None
    device: str | None = None
