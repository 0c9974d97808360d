"""An image or a chat of a training step, ready for the model."""

from collections.abc import Sequence
from dataclasses import dataclass

from fo1_data.model.frozen_towers import FrozenFeatures
from fo1_data.model.processing import PreparedImage
from fo1_data.training.feature_cache import ImageShape
from fo1_data.training.packing import PackedQuestions
from fo1_data.training.samples.questions import TrainingQuestion


@dataclass(frozen=True)
class TrainingImage:
    """An image, or a crop of one, with its questions. prepared: None for a chat in text alone.

    `frozen`: the features of the towers that do not train, if they are known; else `shape`: what is kept with
    them, if they are to be kept.
    """

    prepared: PreparedImage | None
    packed: PackedQuestions
    questions: Sequence[TrainingQuestion] = ()
    image_id: str | None = None
    frozen: FrozenFeatures | None = None
    shape: ImageShape | None = None
