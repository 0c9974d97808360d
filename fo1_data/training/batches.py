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
from fo1_data.training.augmentation import augment
from fo1_data.training.dataset_samples import Example, open_example, show
from fo1_data.training.example_source import ExampleSource
from fo1_data.training.negatives import PhraseBook
from fo1_data.training.packing import PackedQuestions, pack_questions
from fo1_data.training.rare_regions import RareRegions
from fo1_data.training.samples import Question, Trust, draw_questions, with_names_as_phrases
from fo1_data.training.settings import TrainConfig
from fo1_data.training.workers import Workers
from schemas.labels import LabelKind

LIMITS = InputLimits()


@dataclass(frozen=True)
class TrainingImage:
    """One image of a batch, ready for the model, with its questions."""

    prepared: PreparedImage
    packed: PackedQuestions


def batch_of(
    source: ExampleSource,
    checkpoint: Checkpoint,
    step: int,
    config: TrainConfig,
    book: PhraseBook | None = None,
    workers: Workers | None = None,
    rare: RareRegions | None = None,
) -> list[TrainingImage]:
    """This worker's images of a step. An image that cannot be used is left out of its step.

    Raises RunError at the first step where nothing of the whole source can be used.
    """
    first = step * config.batch_images
    places = range(first, first + config.batch_images)
    mine = workers.share_of(places) if workers is not None else list(places)
    prepared = (prepare(source.at(place), checkpoint, config, place, book, rare) for place in mine)
    images = [image for image in prepared if image is not None]
    if not images and mine and step == 0 and not _any_usable(source, checkpoint, config):
        raise RunError(
            "no image could be read and had a question: check the dataset with fo1 dataset validate"
        )
    return images


def _any_usable(source: ExampleSource, checkpoint: Checkpoint, config: TrainConfig) -> bool:
    return any(prepare(source.at(place), checkpoint, config, place) for place in range(len(source)))


def prepare(
    example: Example,
    checkpoint: Checkpoint,
    config: TrainConfig,
    place: int,
    book: PhraseBook | None = None,
    rare: RareRegions | None = None,
) -> TrainingImage | None:
    """An image with its questions, or None where it cannot be read or has nothing to ask.

    All draws are made of the seed and the image's place in the series.
    """
    rng = np.random.default_rng([config.seed, place])
    try:
        image, entry = open_example(example, LIMITS)
    except InputReject:
        return None
    rgb, trust = image.rgb, example.trust
    if rare is not None and rng.random() < config.paste_share:
        rgb, entry, trust = rare.paste(rgb, entry, trust, rng)
    negatives = []
    if book is not None:
        most = max(2, config.questions_per_image // 2)
        negatives = book.absent(entry, rng, most, config.near_miss_share)
    rgb, entry = augment(rgb, entry, rng, config)
    shown = show(rgb, entry, trust, rng, config.shuffle_boxes, config.box_jitter, negatives)
    known = shown.known
    if config.names_as_phrases:
        known = with_names_as_phrases(known)
    indices = list(range(len(shown.boxes_xyxy)))
    share = config.negative_share if book is not None else None
    questions = draw_questions(known, indices, rng, config.questions_per_image, share)
    if not questions:
        return None
    prepared = checkpoint.processor.prepare(shown.rgb, shown.boxes_xyxy)
    weights = [weight_of(known.trust_in(question), config) for question in questions]
    return TrainingImage(prepared, pack_questions(checkpoint.tokenizer, questions, weights))


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
