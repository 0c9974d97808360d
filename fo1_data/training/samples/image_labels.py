"""The labels of one training image at the positions of its prompt, and how far each is to be trusted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from schemas.corpus import CorpusAnswer, CorpusCount, CorpusExample, CorpusPhrase, CorpusRegion
from schemas.labels import LabelKind

# The kinds that a phrase of an image is asked by.
PHRASE_KINDS = (LabelKind.GROUND, LabelKind.COUNT)
# Kind of a label, position of its box or None, and its phrase or question or None.
LabelKey = tuple[LabelKind, int | None, str | None]


@dataclass(frozen=True)
class LabelTrust:
    """How reliable a dataset's label is: given or confirmed by a person, or a model's with its confidence."""

    human: bool
    confidence: float | None = None


@dataclass(frozen=True)
class ImageLabels:
    """All labels of an image; every index is a position in the prompt.

    `regions[i]`: None if box i shows background only. `phrases`, `counts`, `answers`, `examples`: as in gold.
    `all_labelled`: every labelled box has its class, so a caption can be made from the classes. `trust`: by
    label key; a label without an entry is gold. `distractors`: boxes shown besides the labelled ones.
    `all_shown`: no labelled box of the image is left out. `description`: the image's own caption, which
    contains `description_phrases` in order.
    """

    regions: Sequence[CorpusRegion | None]
    phrases: Sequence[CorpusPhrase] = ()
    counts: Sequence[CorpusCount] = ()
    all_labelled: bool = False
    answers: Sequence[CorpusAnswer] = ()
    examples: Sequence[CorpusExample] = ()
    trust: Mapping[LabelKey, LabelTrust] = field(default_factory=dict)
    distractors: frozenset[int] = frozenset()
    all_shown: bool = True
    description: str | None = None
    description_phrases: Sequence[CorpusPhrase] = ()

    def can_be_counted(self, phrase: CorpusPhrase) -> bool:
        """False if the phrase has another count than the number of its regions."""
        counts = [entry.count for entry in self.counts if entry.text.casefold() == phrase.text.casefold()]
        return all(count == len(phrase.region_indices or []) for count in counts)

    def trust_of(self, key: LabelKey | None) -> LabelTrust | None:
        """The trust in a label; None if it is gold, as an answer without a label is."""
        return None if key is None else self.trust.get(key)


def with_labels_as_captions(labels: ImageLabels) -> ImageLabels:
    """Give every box without a brief caption its class as one."""
    regions = [
        region.model_copy(update={"caption": region.label}) if region and not region.caption else region
        for region in labels.regions
    ]
    return replace(labels, regions=regions)


def with_names_as_phrases(labels: ImageLabels) -> ImageLabels:
    """Add every name of a box as a phrase that means all boxes of that name; existing phrases stay.

    A box's name is its caption, else its class; case is ignored. Returns `labels` unchanged if a labelled
    box has no name, shows background only, or is not shown. A new phrase is trusted as much as the least
    trusted of its names.
    """
    if not labels.all_shown:
        return labels
    boxes_by_name: dict[str, list[tuple[str, int]]] = {}
    for position, region in enumerate(labels.regions):
        if position in labels.distractors:
            continue
        name = (region.caption or region.label) if region is not None else None
        if not name:
            return labels
        boxes_by_name.setdefault(name.casefold(), []).append((name, position))
    for phrase in labels.phrases:
        boxes_by_name.pop(phrase.text.casefold(), None)
    phrases, trust = list(labels.phrases), dict(labels.trust)
    for boxes in boxes_by_name.values():
        text, positions = boxes[0][0], [position for _, position in boxes]
        phrases.append(CorpusPhrase(text=text, region_indices=positions))
        name_trust = least_trusted(
            labels.trust.get((LabelKind.BRIEF_CAPTION, position, None)) for position in positions
        )
        if name_trust is not None:
            trust |= {(kind, None, text): name_trust for kind in PHRASE_KINDS}
    return replace(labels, phrases=phrases, trust=trust)


def least_trusted(trusts: Iterable[LabelTrust | None]) -> LabelTrust | None:
    """The lowest trust; the order is a model's label by its confidence, gold (None), a person's label."""

    def strength(trust: LabelTrust | None) -> float:
        if trust is None or (not trust.human and trust.confidence is None):
            return 1.0
        return 2.0 if trust.human else trust.confidence or 0.0

    return min(trusts, key=strength)
