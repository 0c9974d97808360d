"""When a run is measured, which measurement was the best, and when to stop because none gets better."""

import math
from collections.abc import Callable, Iterable, Sequence

from fo1_data.errors import ConfigError, DatasetError
from fo1_data.plurals import counted
from fo1_data.training.best_kept import Kept
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

    `named`: what `--validation` names. `sizes`: how many validation images there are, and how many of them
    are measured; `image_ids`: ids of the latter, which are not to be trained on; `warnings`: what is wrong
    with them. Raises DatasetError if none of the named images can be measured.
    """

    def __init__(
        self,
        trainer: Trainer,
        source: ExampleSource,
        validation: ExampleSource | None,
        config: TrainConfig,
        book: PhraseBook | None,
        distractors: Distractors | None = None,
        named: Sequence[str] = (),
    ) -> None:
        self._config = config
        self._every = config.validate_every or _default_interval(config)
        self._training = MeasuredSample(trainer, source, config, book, distractors)
        self._validation: MeasuredSample | None = None
        self._guesses = Guesses(self._training.questions)
        self._measured: list[tuple[int, SampleFigures]] = []
        self._kept: Kept | None = None
        self.sizes, self.image_ids, self.warnings = (0, 0), frozenset[str](), list[str]()
        if validation is not None:
            sample = MeasuredSample(trainer, validation, config, book, distractors)
            if len(sample):
                self._validation = sample
                self.image_ids = sample.image_ids
            if len(sample) or not config.measured_images:
                self.sizes = (len(validation), len(sample))
            else:
                self._refuse_or_warn(validation, named)
        if config.patience is not None and not self.sizes[1]:
            raise ConfigError("patience needs validation images: name some with --validation")

    def _refuse_or_warn(self, validation: ExampleSource, named: Sequence[str]) -> None:
        images = counted(len(validation), "validation image")
        text = f"of {images} none could be read and had a question"
        if named:
            raise DatasetError(f"--validation {', '.join(named)}: {text}: check it with fo1 dataset validate")
        self.warnings.append(f"{text}: there is nothing to validate on, and no best checkpoint is kept")

    def is_due(self, step: int) -> bool:
        """Whether to measure after a step: at the beginning, at each interval, and at the end."""
        due = step % self._every == 0 or step == self._config.steps
        return due and bool(self._config.measured_images)

    def measure(self, step: int, must_stop: Callable[[], bool] = lambda: False) -> Measured | None:
        """Measure the model; None if it was stopped. All workers must call it.

        `must_stop`: asked before each image.
        """
        training = self._training.measure(self._guesses, must_stop)
        if training is None:
            return None
        if self._validation is None:
            return Measured(step, None, training, is_best=False)
        validation = self._validation.measure(self._guesses, must_stop)
        if validation is None:
            return None
        self._measured.append((step, validation))
        is_best = self._kept is None or validation.score > self._kept.figures.score
        if is_best:
            self._kept = Kept(step, validation)
        return Measured(step, validation, training, is_best)

    def remember(self, earlier: Iterable[tuple[int, SampleFigures]], kept: Kept | None) -> None:
        """Take in what a resumed run measured and kept: its validations with their steps, in order."""
        self._measured, self._kept = list(earlier), kept

    @property
    def best(self) -> Kept | None:
        """The best validation, of equal ones the first; None if there is none."""
        return self._kept

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
