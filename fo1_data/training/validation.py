"""When a run is measured, which measurement was the best, and when to stop because none gets better."""

import math
from collections.abc import Iterable

from fo1_data.errors import ConfigError
from fo1_data.training.events import Measured, SampleFigures
from fo1_data.training.measuring import Guesses, MeasuredSample
from fo1_data.training.samples.distractors import Distractors
from fo1_data.training.samples.negatives import PhraseBook
from fo1_data.training.samples.source import ExampleSource
from fo1_data.training.settings import TrainConfig
from fo1_data.training.trainer import Trainer

# By default so many a run, and so that they take at most about this part of its time.
_MEASUREMENTS, _SHARE_OF_TIME = 10, 0.25
# A step on an image takes about three times as long as a measurement of it, for the backward pass.
_STEP_COST = 3


class Validation:
    """The measurements of a run on validation and training images.

    `sizes`: how many validation images there are, and how many of them are measured; `image_ids`: ids of the
    latter, which are not to be trained on.
    """

    def __init__(
        self,
        trainer: Trainer,
        source: ExampleSource,
        validation: ExampleSource | None,
        config: TrainConfig,
        book: PhraseBook | None,
        distractors: Distractors | None = None,
    ) -> None:
        self._config = config
        self._every = config.validate_every or _default_interval(config)
        self._training = MeasuredSample(trainer, source, config, book, distractors)
        self._validation = (
            MeasuredSample(trainer, validation, config, book, distractors) if validation is not None else None
        )
        self._guesses = Guesses(self._training.questions)
        self._measured: list[tuple[int, SampleFigures]] = []
        self.sizes, self.image_ids = (0, 0), frozenset[str]()
        if validation is not None and self._validation is not None:
            self.sizes = (len(validation), len(self._validation))
            self.image_ids = self._validation.image_ids
        if config.patience is not None and not self.sizes[1]:
            raise ConfigError("patience needs validation images: name some with --validation")

    def is_due(self, step: int) -> bool:
        """Whether to measure after a step: at the beginning, at each interval, and at the end."""
        due = step % self._every == 0 or step == self._config.steps
        return due and bool(self._config.measured_images)

    def measure(self, step: int) -> Measured:
        """Measure the model; all workers must call it."""
        training = self._training.measure(self._guesses)
        if self._validation is None:
            return Measured(step, None, training, is_best=False)
        validation = self._validation.measure(self._guesses)
        self._measured.append((step, validation))
        return Measured(step, validation, training, is_best=self._place_of_best() == len(self._measured) - 1)

    def remember(self, earlier: Iterable[tuple[int, SampleFigures]]) -> None:
        """Take in the validations of a resumed run before now, with their steps in order."""
        self._measured = list(earlier)

    @property
    def best(self) -> tuple[int, SampleFigures] | None:
        """The best validation, of equal ones the first, with its step; None if there is none."""
        return self._measured[self._place_of_best()] if self._measured else None

    @property
    def has_lost_patience(self) -> bool:
        """Whether the last measurements, `patience` of them, were no better than the best one before."""
        patience = self._config.patience
        return patience is not None and len(self._measured) - 1 - self._place_of_best() >= patience

    def _place_of_best(self) -> int:
        scores = [figures.score for _, figures in self._measured]
        return scores.index(max(scores)) if scores else 0


def _default_interval(config: TrainConfig) -> int:
    images_between = 2 * config.measured_images / (_STEP_COST * _SHARE_OF_TIME)
    return max(1, config.steps // _MEASUREMENTS, math.ceil(images_between / config.batch_images))
