"""Loss and exact accuracy of a model on a fixed set of training or validation questions.

An answer is exactly right if the model, asked the question, would give it token for token by greedy choice.
One pass over the correct answers shows this: as long as every token before is right, the next token that the
model chooses is the most likely one after the correct ones.

Shapes: L tokens of the packed questions of an image, V vocabulary.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from fo1_data.training.events import AnswerKind, SampleFigures
from fo1_data.training.packing import IGNORED
from fo1_data.training.samples.batches import Batches, blank_image
from fo1_data.training.samples.distractors import Distractors
from fo1_data.training.samples.negatives import PhraseBook
from fo1_data.training.samples.questions import TrainingQuestion
from fo1_data.training.samples.source import ExampleSource
from fo1_data.training.samples.training_image import TrainingImage
from fo1_data.training.settings import TrainConfig
from fo1_data.training.trainer import Trainer
from schemas.labels import LabelKind

# So many places are tried for each image to measure: some cannot be read.
_MOST_TRIED = 4
_PHRASE = re.compile(r"<ground>.*?</ground>")
# Settings that vary a training image: what is measured is the image as it is.
_AS_IT_IS = {
    "box_jitter": 0.0, "shuffle_boxes": False, "mirror_share": 0.0, "crop_share": 0.0, "light_jitter": 0.0,
    "paste_share": 0.0, "distractor_share": 0.0,
}  # fmt: skip
# A run with distractors is measured with them, in the same mixed order each time: to tell the labelled boxes
# from others is what it is to learn.
_WITH_DISTRACTORS = {**_AS_IT_IS, "distractor_share": 1.0, "shuffle_boxes": True}


class MeasuredSample:
    """Some images of a source with their questions, drawn once by the seed and shown as they are.

    `distractors`: boxes to show besides the labelled ones, in every image; None: none.
    """

    def __init__(
        self,
        trainer: Trainer,
        source: ExampleSource,
        config: TrainConfig,
        book: PhraseBook | None,
        distractors: Distractors | None = None,
    ) -> None:
        self._trainer = trainer
        fixed = config.model_copy(update=_AS_IT_IS if distractors is None else _WITH_DISTRACTORS)
        self._batches = Batches(
            source, trainer.checkpoint, fixed, book, distractors=distractors, cache=trainer.cache
        )
        found = self._first_images(min(config.measured_images, len(source)), len(source))
        self._places = list(found)
        images = [image for images in found.values() for image in images]
        self.image_ids = frozenset(image.image_id for image in images if image.image_id is not None)
        self.questions = [question for image in images for question in image.questions]

    def __len__(self) -> int:
        return len(self._places)

    def _first_images(self, number: int, num_places: int) -> dict[int, list[TrainingImage]]:
        """The first `number` images that all workers can read and that have a question, by their place."""
        images: dict[int, list[TrainingImage]] = {}
        for place in range(min(_MOST_TRIED * number, num_places)):
            if len(images) == number:
                break
            if found := self._batches.images_at(place):
                images[place] = found
        # All must agree on what is measured: they wait for each other in every pass.
        common = set.intersection(*map(set, self._trainer.workers.values_of(list(images))))
        return {place: found for place, found in images.items() if place in common}

    def measure(
        self, guesses: "Guesses", must_stop: Callable[[], bool] = lambda: False
    ) -> SampleFigures | None:
        """Measure the model as it is; None if it was stopped.

        All workers must call it, and each computes its part. `must_stop`: asked before each pass, with one
        answer for all workers.
        """
        trainer, workers = self._trainer, self._trainer.workers
        kinds = list(AnswerKind)
        sums = torch.zeros(2 + 2 * len(kinds), dtype=torch.float64)
        trainer.model.eval()
        try:
            # Equally many passes on every worker, because a sharded decoder needs all of them in each.
            for start in range(0, len(self._places), workers.num):
                if must_stop():
                    return None
                sums += self._sums(start + workers.rank, kinds)
        finally:
            trainer.model.train()
        loss, weight, *counts = workers.sum_of(sums.float().to(trainer.model.device)).tolist()
        right, asked = counts[: len(kinds)], counts[len(kinds) :]
        guessed = guesses.accuracy(self.questions)
        return SampleFigures(
            loss=loss / weight if weight else 0.0,
            accuracy={kind: right[i] / asked[i] for i, kind in enumerate(kinds) if asked[i]},
            questions={kind: round(asked[i]) for i, kind in enumerate(kinds) if asked[i]},
            guess=guessed,
        )

    def images(self, number: int) -> list[TrainingImage]:
        """An image and its crops with their questions, by its number in the sample; none past the last."""
        return self._batches.images_at(self._places[number]) if number < len(self._places) else []

    def _sums(self, number: int, kinds: list[AnswerKind]) -> torch.Tensor:
        """Loss, its weight, right answers by kind and questions by kind of one image; zeros past the last."""
        images = self.images(number)
        sums = torch.zeros(2 + 2 * len(kinds), dtype=torch.float64)
        result = _answers(self._trainer, images or [blank_image(self._trainer.checkpoint)])
        if not images:
            return sums
        sums[0], sums[1] = result.loss, result.num_tokens
        questions = [question for image in images for question in image.questions]
        for question, is_right in zip(questions, result.is_right, strict=True):
            place = 2 + kinds.index(question.answer_kind)
            sums[place] += is_right
            sums[place + len(kinds)] += 1
        return sums


@dataclass(frozen=True)
class _Answers:
    """Summed cross-entropy of the answers' tokens, and which answers are exactly right."""

    loss: float
    num_tokens: int
    is_right: list[bool]


@torch.no_grad()
def _answers(trainer: Trainer, images: Sequence[TrainingImage]) -> _Answers:
    """All questions about some images, in their order."""
    states, batch = trainer.decode(images)
    targets = batch.targets_BL[batch.targets_BL != IGNORED]
    logits = trainer.model.logits(states).float()
    loss = functional.cross_entropy(logits, targets, reduction="sum")
    is_right = (logits.argmax(-1) == targets).cpu()
    parts: list[torch.Tensor] = []
    num_questions = 0
    for image in images:
        parts.append(image.packed.owner[image.packed.targets != IGNORED] + num_questions)
        num_questions += int(image.packed.owner.max()) + 1
    owners = torch.cat(parts)
    num_right = torch.bincount(owners[is_right], minlength=num_questions)
    num_tokens = torch.bincount(owners, minlength=num_questions)
    return _Answers(loss.item(), len(targets), (num_right == num_tokens).tolist())


class Guesses:
    """For each kind of question, the answer that is most frequent in the training samples."""

    def __init__(self, questions: Sequence[TrainingQuestion]) -> None:
        by_kind: dict[LabelKind, Counter[str]] = {}
        for question in questions:
            by_kind.setdefault(question.kind, Counter())[_bare(question.answer)] += 1
        self._answers = {kind: answers.most_common(1)[0][0] for kind, answers in by_kind.items()}

    def accuracy(self, questions: Sequence[TrainingQuestion]) -> dict[AnswerKind, float]:
        """The share of questions, by kind, that are answered rightly by always guessing."""
        right, asked = Counter[AnswerKind](), Counter[AnswerKind]()
        for question in questions:
            asked[question.answer_kind] += 1
            right[question.answer_kind] += self._answers.get(question.kind) == _bare(question.answer)
        return {kind: right[kind] / asked[kind] for kind in AnswerKind if asked[kind]}


def _bare(answer: str) -> str:
    """An answer without the phrases that it repeats from the question."""
    return _PHRASE.sub("", answer)
