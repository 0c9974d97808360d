"""What a training run reports while it works: its beginning, every step, every measurement.

Imports no torch.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class AnswerKind(StrEnum):
    """The kinds by which the accuracy of answers is measured.

    `phrase`: which boxes show a phrase that is there; `absent`: that none does; `question`: free questions,
    multiple choice and visual examples.
    """

    CAPTION = "caption"
    PHRASE = "phrase"
    ABSENT = "absent"
    COUNT = "count"
    TEXT = "text"
    QUESTION = "question"


@dataclass(frozen=True)
class SampleFigures:
    """How well the model answers a fixed set of questions.

    `loss`: mean cross-entropy of an answer token; `accuracy`: share of the answers that are exactly right, by
    kind; `questions`: how many there are of each kind; `guess`: the accuracy of always giving the answer
    that is most frequent in the training samples.
    """

    loss: float
    accuracy: Mapping[AnswerKind, float]
    questions: Mapping[AnswerKind, int]
    guess: Mapping[AnswerKind, float]

    @property
    def mean_accuracy(self) -> float:
        """The mean over the kinds, each with equal weight."""
        return sum(self.accuracy.values()) / len(self.accuracy) if self.accuracy else 0.0

    @property
    def score(self) -> tuple[float, float]:
        """What makes a measurement better: accuracy, of equal ones a lower loss; as precise as the log."""
        return round(self.mean_accuracy, 6), -round(self.loss, 6)

    def document(self) -> dict[str, object]:
        """The figures as the log of a run holds them, rounded to six digits."""
        return {
            "loss": round(self.loss, 6),
            "accuracy": {kind: round(share, 6) for kind, share in self.accuracy.items()},
            "guess": {kind: round(share, 6) for kind, share in self.guess.items()},
            "questions": dict(self.questions),
        }


@dataclass
class SourceLabels:
    """The labels of one dataset or corpus: of `counted_images` of its `images`.

    `labels`: how many by kind; `by_people`: how many of them a person gave or confirmed; `weight`: how often
    its images are shown, relative to others.
    """

    address: str
    images: int = 0
    counted_images: int = 0
    labels: Counter[AnswerKind] = field(default_factory=Counter)
    by_people: int = 0
    weight: float = 1.0


@dataclass(frozen=True)
class Outlook:
    """How well a plain linear reader of the region features names boxes of images that it has not seen.

    `names`: how many names there are, of `boxes` boxes; `linear`: the share that it names rightly; `guess`:
    the share of the most frequent name.
    """

    names: int
    boxes: int
    linear: float
    guess: float


@dataclass(frozen=True)
class RunBegun:
    """The run is ready for its next step, `step` + 1 of `steps`.

    `images`: to train on; `validation_images`: to validate on, of which `measured_images` are measured.
    `sources`: what their labels can teach; `warnings`: what is wrong with that.
    """

    step: int
    steps: int
    images: int
    validation_images: int
    measured_images: int
    sources: Sequence[SourceLabels] = ()
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class StepDone:
    """A step is done.

    `gradient_norm`: before clipping; `samples_per_s`: images of all workers, `tokens_per_s`: tokens of this
    worker, in this step; `memory_bytes`: the most that this process, or its GPU, has held;
    `unusable_images`: left out of this step, because they could not be used.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    gradient_norm: float
    samples_per_s: float
    tokens_per_s: float
    memory_bytes: int
    unusable_images: int = 0


@dataclass(frozen=True)
class Measured:
    """The model was measured after `step`. `validation`: None if there are no validation images.

    `is_best`: no earlier measurement of the run was as good, so the checkpoint was kept in `best`.
    `verdict`: after about a tenth of the steps, whether the run learns, in words.
    """

    step: int
    validation: SampleFigures | None
    training: SampleFigures
    is_best: bool
    verdict: str | None = None


@dataclass(frozen=True)
class RateTried:
    """A step of the search for a learning rate, of at most `most`. `chosen`: the rate found, at its end."""

    number: int
    most: int
    rate: float
    loss: float
    chosen: float | None = None


@dataclass(frozen=True)
class Notice:
    """Something that the person who waits should know, in words; the run goes on."""

    text: str


Event = RunBegun | Outlook | RateTried | StepDone | Measured | Notice
Watch = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Watch nothing."""
