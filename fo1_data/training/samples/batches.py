"""The images of a training step with their questions, drawn by the seed and the step's number alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from fo1_data.corpus.images import InputLimits
from fo1_data.errors import InputReject, RunError
from fo1_data.model.checkpoint import Checkpoint
from fo1_data.model.processing import PreparedImage
from fo1_data.training.packing import PackedQuestions, pack_questions
from fo1_data.training.samples.augmentation import augment
from fo1_data.training.samples.distractors import Distractors, with_distractors
from fo1_data.training.samples.negatives import PhraseBook
from fo1_data.training.samples.open_examples import Example, Shown, open_example, show
from fo1_data.training.samples.questions import Question, Trust, draw_questions, with_names_as_phrases
from fo1_data.training.samples.rare_regions import RareRegions
from fo1_data.training.samples.source import ExampleSource
from fo1_data.training.settings import TrainConfig
from fo1_data.training.workers import Workers
from schemas.corpus import CorpusRegion
from schemas.labels import LabelKind

LIMITS = InputLimits()


@dataclass(frozen=True)
class TrainingImage:
    """One image of a batch, ready for the model, with its questions."""

    prepared: PreparedImage
    packed: PackedQuestions


class Batches:
    """The steps of a run, drawn from a source for a checkpoint.

    `book`: what absent phrases are taken from; `rare`: regions to paste; `distractors`: boxes to show beside
    the labelled ones; `workers`: who shares a step.
    """

    def __init__(
        self,
        source: ExampleSource,
        checkpoint: Checkpoint,
        config: TrainConfig,
        book: PhraseBook | None = None,
        rare: RareRegions | None = None,
        distractors: Distractors | None = None,
        workers: Workers | None = None,
    ) -> None:
        self._source, self._checkpoint, self._config = source, checkpoint, config
        self._book, self._rare, self._distractors = book, rare, distractors
        self._workers = workers

    def of_step(self, step: int) -> list[TrainingImage]:
        """This worker's images of a step. An image that cannot be used is left out of its step.

        Raises RunError at the first step where nothing of the whole source can be used.
        """
        first = step * self._config.batch_images
        places = range(first, first + self._config.batch_images)
        mine = self._workers.share_of(places) if self._workers is not None else list(places)
        images = [image for image in map(self._image_at, mine) if image is not None]
        if not images and mine and step == 0 and not any(map(self._image_at, range(len(self._source)))):
            raise RunError(
                "no image could be read and had a question: check the dataset with fo1 dataset validate"
            )
        return images

    def _image_at(self, place: int) -> TrainingImage | None:
        """An image with its questions, or None where it cannot be read or has nothing to ask.

        All draws are made of the seed and the image's place in the series.
        """
        config = self._config
        rng = np.random.default_rng([config.seed, place])
        try:
            shown = self._view(self._source.at(place), rng)
        except InputReject:
            return None
        known = with_names_as_phrases(shown.known) if config.names_as_phrases else shown.known
        share = config.negative_share if self._book is not None else None
        indices = list(range(len(shown.boxes_xyxy)))
        questions = draw_questions(known, indices, rng, config.questions_per_image, share)
        if not questions:
            return None
        prepared = self._checkpoint.processor.prepare(shown.rgb, shown.boxes_xyxy)
        weights = [weight_of(known.trust_in(question), config) for question in questions]
        return TrainingImage(prepared, pack_questions(self._checkpoint.tokenizer, questions, weights))

    def _view(self, example: Example, rng: np.random.Generator) -> Shown:
        """The image as it is shown this time, with phrases to find absent. Raises InputReject."""
        config = self._config
        image, entry = open_example(example, LIMITS)
        rgb, trust = image.rgb, example.trust
        if self._rare is not None and rng.random() < config.paste_share:
            rgb, entry, trust = self._rare.paste(rgb, entry, trust, rng)
        negatives = []
        if self._book is not None:
            most = max(2, config.questions_per_image // 2)
            negatives = self._book.absent(entry, rng, most, config.near_miss_share)
        more: list[CorpusRegion] = []
        if self._distractors is not None and rng.random() < config.distractor_share:
            more = self._distractors.of(example, image, rgb, entry.regions or [])
        rgb, entry = augment(rgb, with_distractors(entry, more), rng, config)
        return show(rgb, entry, trust, rng, config, negatives, num_distractors=len(more))


def weight_of(trust: Trust | None, config: TrainConfig) -> float:
    """What an answer counts: gold's once, a person's `human_weight`, a model's by its confidence."""
    if trust is None:
        return 1.0
    if trust.human:
        return config.human_weight
    return trust.confidence if config.confidence_weights and trust.confidence is not None else 1.0


def pieces_of(images: Sequence[TrainingImage], most: int) -> list[Sequence[TrainingImage]]:
    """At most `most` pieces of a batch, about as large as one another."""
    size = max(1, math.ceil(len(images) / most))
    return [images[start : start + size] for start in range(0, len(images), size)]


def blank_image(checkpoint: Checkpoint) -> TrainingImage:
    """A grey image with one question that counts nothing, for a worker that has no image left."""
    grey = Image.new("RGB", (56, 56), "gray")
    prepared = checkpoint.processor.prepare(grey, np.asarray([[8, 8, 40, 40]], dtype=np.float32))
    question = Question("", "", LabelKind.BRIEF_CAPTION)
    return TrainingImage(prepared, pack_questions(checkpoint.tokenizer, [question], [0.0]))
