"""The images of a training step with their questions; they depend only on the seed and the step number."""

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
from PIL import Image

from fo1_data.corpus.images import DecodedImage, InputLimits
from fo1_data.errors import InputReject, RunError
from fo1_data.model.checkpoint import Checkpoint
from fo1_data.model.prompts import CROP_QUESTION
from fo1_data.training.feature_cache import CachedImage, FeatureCache, ImageShape
from fo1_data.training.packing import pack_questions
from fo1_data.training.samples.augmentation import augment
from fo1_data.training.samples.chats import ChatDraws
from fo1_data.training.samples.distractors import Distractors, with_distractors
from fo1_data.training.samples.image_labels import (
    ImageLabels,
    LabelTrust,
    with_labels_as_captions,
    with_names_as_phrases,
)
from fo1_data.training.samples.left_out import LeftOut
from fo1_data.training.samples.negatives import PhraseBook
from fo1_data.training.samples.open_examples import (
    PromptView,
    TrainingExample,
    make_prompt_view,
    open_cached,
)
from fo1_data.training.samples.question_draw import draw_questions
from fo1_data.training.samples.questions import TrainingQuestion
from fo1_data.training.samples.rare_regions import RareRegions
from fo1_data.training.samples.source import ExampleSource
from fo1_data.training.samples.training_image import TrainingImage
from fo1_data.training.settings import TrainConfig
from fo1_data.training.workers import Workers
from schemas.corpus import CorpusRegion
from schemas.labels import LabelKind

LIMITS = InputLimits()


class Batches:
    """The steps of a run: examples of `source`, prepared for `checkpoint`.

    `book`: absent phrases to ask for; `rare`: regions to paste; `distractors`: boxes to show besides the
    labelled ones; `workers`: the workers that share each step; `chats`: what each step shows beside its
    images. None turns each of them off. `validated`: ids of images that are not used, wherever their bytes
    are; `left_out`: takes those of them that are met, and the images that cannot be used.
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
        validated: Collection[str] = (),
        cache: FeatureCache | None = None,
        left_out: LeftOut | None = None,
        chats: ChatDraws | None = None,
    ) -> None:
        self._chats = chats
        self._cache = cache
        self._validated, self._left_out = validated, left_out or LeftOut()
        self._source, self._checkpoint, self._config = source, checkpoint, config
        self._book, self._rare, self._distractors = book, rare, distractors
        self._workers = workers
        self._reads_crops = checkpoint.config.ocr_crop_min_pixels is not None

    def of_step(self, step: int) -> list[TrainingImage]:
        """This worker's images and chats of a step; an image that cannot be used is left out.

        Raises RunError at the first step if no image of the whole source can be used.
        """
        first = step * self._config.batch_images
        places = range(first, first + self._config.batch_images)
        own = self._workers.share_of(places) if self._workers is not None else list(places)
        images = list(chain.from_iterable(map(self.images_at, own)))
        if not images and own and step == 0:
            self._refuse_nothing_usable()
        return images if self._chats is None else [*images, *self._chats.of_step(step)]

    def images_at(self, place: int) -> list[TrainingImage]:
        """The image at a place of the endless series; none if it cannot be used or no question can be made.

        Where the checkpoint reads texts from crops, each text is an image of its own behind it, or in its
        place if nothing else is asked. All random draws depend only on the seed and the place.
        """
        try:
            return self._images_at(place)
        except InputReject as error:
            self._left_out.meet_unusable(self._source.at(place).entry.name, error.reason)
            return []

    def _refuse_nothing_usable(self) -> None:
        """Raise RunError if no image of the source can be used, naming the first that cannot be read."""
        not_read = None
        for place in range(len(self._source)):
            try:
                if self._images_at(place):
                    return
            except InputReject as error:
                not_read = not_read or f"{self._source.at(place).entry.name}: {error}"
        if not_read is not None:
            raise RunError(f"no image could be read and had a question; the first not read: {not_read}")
        raise RunError("no image has labels to ask about: see which the dataset has with fo1 dataset info")

    def _images_at(self, place: int) -> list[TrainingImage]:
        config = self._config
        rng = np.random.default_rng([config.seed, place])
        image, cached, view = self._view(self._source.at(place), rng)
        if image.image_id in self._validated:
            self._left_out.validated.add(image.image_id)
            return []
        labels = with_labels_as_captions(view.labels) if config.labels_as_captions else view.labels
        labels = with_names_as_phrases(labels) if config.names_as_phrases else labels
        share = config.negative_share if self._book is not None else None
        indices = list(range(len(view.boxes_xyxy)))
        drawn = draw_questions(labels, indices, rng, config.questions_per_image, share)
        weighted = [(question, loss_weight(question, labels, config)) for question in drawn]
        asked = [(question, weight) for question, weight in weighted if weight]
        shown = [(question, weight) for question, weight in asked if not self._is_crop(question)]
        images = [
            self._crop(image, view, question, weight) for question, weight in asked if self._is_crop(question)
        ]
        if shown:
            images.insert(0, self._image(image, cached, view, shown))
        return images

    def _is_crop(self, question: TrainingQuestion) -> bool:
        return question.kind is LabelKind.OCR and self._reads_crops

    def _image(
        self,
        image: DecodedImage,
        cached: CachedImage | None,
        view: PromptView,
        weighted: Sequence[tuple[TrainingQuestion, float]],
    ) -> TrainingImage:
        processor = self._checkpoint.processor
        resized = cached.shape.resized() if cached is not None else processor.resize(view.rgb)
        prepared = processor.place_boxes(resized, view.boxes_xyxy)
        questions = [question for question, _ in weighted]
        packed = pack_questions(self._checkpoint.tokenizer, questions, [weight for _, weight in weighted])
        return TrainingImage(
            prepared,
            packed,
            questions,
            image.image_id,
            frozen=cached.features if cached is not None else None,
            shape=ImageShape.of(image, prepared) if self._cache is not None and cached is None else None,
        )

    def _crop(
        self, image: DecodedImage, view: PromptView, question: TrainingQuestion, weight: float
    ) -> TrainingImage:
        """A text's box alone, as the engine reads it."""
        assert question.subject is not None
        prepared = self._checkpoint.processor.prepare_crop(view.rgb, view.boxes_xyxy[question.subject])
        asked = [replace(question, text=CROP_QUESTION)]
        packed = pack_questions(self._checkpoint.tokenizer, asked, [weight])
        return TrainingImage(prepared, packed, asked, image.image_id)

    def _view(
        self, example: TrainingExample, rng: np.random.Generator
    ) -> tuple[DecodedImage, CachedImage | None, PromptView]:
        """The image, its features if they are known, and a drawn view.

        A view has a pasted region, absent phrases, distractors, augmentation, and an order of boxes.

        Raises InputReject if the image cannot be used.
        """
        config = self._config
        find = self._cache.find if self._cache is not None else None
        if self._reads_crops and any(region.text is not None for region in example.entry.regions or []):
            find = None  # crops need the pixels
        image, cached, entry = open_cached(example, LIMITS, find)
        rgb, trust = image.rgb, example.trust
        if self._rare is not None and rng.random() < config.paste_share:
            rgb, entry, trust = self._rare.paste(rgb, entry, trust, rng)
        negatives = []
        if self._book is not None:
            num_phrases = max(2, config.questions_per_image // 2)
            negatives = self._book.draw_absent(entry, rng, num_phrases, config.near_miss_share)
        added: list[CorpusRegion] = []
        if self._distractors is not None and rng.random() < config.distractor_share:
            added = self._distractors.propose(example, image, rgb, entry.regions or [])
        rgb, entry = augment(rgb, with_distractors(entry, added), rng, config)
        view = make_prompt_view(rgb, entry, trust, rng, config, negatives, num_distractors=len(added))
        return image, cached, view


def loss_weight(question: TrainingQuestion, labels: ImageLabels, config: TrainConfig) -> float:
    """The loss weight of an answer: by the trust in its label, times the weight of its kind."""
    return trust_weight(labels.trust_of(question.label_key), config) * config.kind_weights.get(
        question.answer_kind, 1.0
    )


def trust_weight(trust: LabelTrust | None, config: TrainConfig) -> float:
    """The weight of a label: 1 for gold, `human_weight` for a person's, a model's confidence."""
    if trust is None:
        return 1.0
    if trust.human:
        return config.human_weight
    return trust.confidence if config.confidence_weights and trust.confidence is not None else 1.0


def split_batch(images: Sequence[TrainingImage], max_pieces: int) -> list[Sequence[TrainingImage]]:
    """Split a batch into at most `max_pieces` pieces of about equal size."""
    size = max(1, math.ceil(len(images) / max_pieces))
    return [images[start : start + size] for start in range(0, len(images), size)]


def blank_image(checkpoint: Checkpoint) -> TrainingImage:
    """A grey image with a question of loss weight 0, for a worker that has no image left."""
    grey = Image.new("RGB", (56, 56), "gray")
    prepared = checkpoint.processor.prepare(grey, np.asarray([[8, 8, 40, 40]], dtype=np.float32))
    question = TrainingQuestion("", "", LabelKind.BRIEF_CAPTION)
    return TrainingImage(prepared, pack_questions(checkpoint.tokenizer, [question], [0.0]))
