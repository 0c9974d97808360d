"""What the labels of a training set can teach, source by source, and what is wrong with that."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fo1_data.storage.addresses import normalise
from fo1_data.training.events import AnswerKind, SourceLabels
from fo1_data.training.samples.open_examples import TrainingExample
from fo1_data.training.samples.source import ExampleSource
from fo1_data.training.settings import TrainConfig
from schemas.corpus import CorpusImage
from schemas.labels import LabelKind

# Of each source: a larger one is judged by its first groups.
_MAX_IMAGES = 2_000
_ENOUGH_TO_JUDGE = 10


@dataclass
class Inventory:
    """The labels of all sources, and warnings for the person who starts the run."""

    sources: list[SourceLabels]
    warnings: list[str]

    @property
    def labels(self) -> Counter[AnswerKind]:
        """How many labels there are by kind, in the images that were counted."""
        return sum((source.labels for source in self.sources), Counter[AnswerKind]())

    def teaches_phrases(self, config: TrainConfig) -> bool:
        """Whether absent phrases are worth generating: only if there are present ones beside them."""
        labels = self.labels
        has_present = labels[AnswerKind.PHRASE] or (config.names_as_phrases and labels[AnswerKind.CAPTION])
        return bool(config.negative_share and has_present)


def take_inventory(source: ExampleSource, config: TrainConfig) -> Inventory:
    """Count the labels of a training set, at most 2,000 images of each source."""
    weights = config.source_weights
    by_address: dict[str, SourceLabels] = {}
    answers: dict[AnswerKind, Counter[str]] = {kind: Counter() for kind in AnswerKind}
    has_gold = False
    for group in source.groups:
        labels = by_address.setdefault(
            group.address, SourceLabels(group.address, weight=weights.get(normalise(group.address), 1.0))
        )
        usable = sorted(set(group.usable.tolist()))
        labels.images += len(usable)
        counted = usable[: _MAX_IMAGES - labels.counted_images]
        examples = group.load_without_pixels() if counted else []
        for example in (examples[index] for index in counted):
            has_gold = has_gold or _has_gold(example, config.labels_as_captions)
            texts = _answers(example.entry, config.labels_as_captions)
            labels.counted_images += 1
            labels.by_people += sum(trust.human for trust in example.trust.values())
            for kind, of_kind in texts.items():
                labels.labels[kind] += len(of_kind)
                answers[kind].update(of_kind)
    inventory = Inventory(list(by_address.values()), [])
    inventory.warnings += _warnings(inventory.labels, answers)
    by_people = sum(labels.by_people for labels in inventory.sources)
    if inventory.labels and not by_people and not has_gold:
        inventory.warnings.append(
            "all labels are a model's own, none is of a person or of a corpus: the training repeats them, "
            "also where they are wrong; let people correct some (fo1 review push), or add gold"
        )
    return inventory


def _has_gold(example: TrainingExample, labels_as_captions: bool) -> bool:
    """Whether the corpus itself gives one of the image's labels: no trust is written down for it."""
    entry, trust = example.entry, example.trust
    return (
        any(
            (region.caption and (LabelKind.BRIEF_CAPTION, index, None) not in trust)
            or (region.label and not region.caption and labels_as_captions)
            or (region.detailed_caption and (LabelKind.DETAILED_CAPTION, index, None) not in trust)
            or (region.text and (LabelKind.OCR, index, None) not in trust)
            for index, region in enumerate(entry.regions or [])
        )
        or any(
            phrase.region_indices is not None and (LabelKind.GROUND, None, phrase.text) not in trust
            for phrase in entry.phrases
        )
        or any((LabelKind.ASK, answer.region_index, answer.question) not in trust for answer in entry.answers)
    )


def _answers(entry: CorpusImage, labels_as_captions: bool) -> dict[AnswerKind, Sequence[str]]:
    """The answers that an image's labels give, by kind; of a phrase its number of boxes."""
    regions = entry.regions or []
    numbers = [len(phrase.region_indices) for phrase in entry.phrases if phrase.region_indices is not None]
    classes = [region.label if labels_as_captions else None for region in regions]
    captions = [region.caption or name for region, name in zip(regions, classes, strict=True)]
    captions += [region.detailed_caption for region in regions]
    return {
        AnswerKind.CAPTION: [text for text in captions if text],
        AnswerKind.PHRASE: [str(number) for number in numbers if number],
        AnswerKind.ABSENT: ["0" for number in numbers if not number],
        AnswerKind.COUNT: list(map(str, numbers)),
        AnswerKind.TEXT: [region.text for region in regions if region.text],
        AnswerKind.QUESTION: [answer.answer for answer in entry.answers],
    }


def _warnings(labels: Counter[AnswerKind], answers: dict[AnswerKind, Counter[str]]) -> Iterable[str]:
    if labels[AnswerKind.ABSENT] and not labels[AnswerKind.PHRASE]:
        yield (
            "every phrase of the labels is absent: the model would learn to find nothing; add phrases of "
            "what is there (names_as_phrases makes them of captions)"
        )
    for kind in (AnswerKind.CAPTION, AnswerKind.TEXT, AnswerKind.QUESTION):
        (first, *others) = answers[kind].most_common(2) or [("", 0)]
        if first[1] >= _ENOUGH_TO_JUDGE and not others:
            yield (
                f"every {kind} is {first[0]!r}: the model can learn to say that without looking, so its "
                f"accuracy of {kind} tells nothing; fo1 train-detector learns where such things are, "
                "names_as_phrases with distractor_share which boxes show them"
            )
