"""What few images show is shown more often: its images come again, and its regions are pasted elsewhere.

A region's name is its caption, else its label. Rare is a name that less than a set share of the images have.
Pasting keeps what is said true: nothing is pasted, or pasted upon, whose name speaks of a place, and what
else speaks of one is left out.

Sources: repeat factors of Gupta et al., LVIS (arXiv 1908.03195), appendix B.1; pasting after Ghiasi et al.,
Simple Copy-Paste (arXiv 2012.07177), here with the box's rectangle.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from fo1_data.corpus.images import InputLimits
from fo1_data.errors import InputReject
from fo1_data.training.samples.augmentation import free_place
from fo1_data.training.samples.open_examples import Example, open_example
from fo1_data.training.samples.questions import Trust, TrustKey, weakest
from fo1_data.training.samples.said import name_of, names_of, naming_words, speaks_of_place
from fo1_data.training.samples.source import ExampleSource, Group
from fo1_data.training.settings import TrainConfig
from schemas.corpus import CorpusCount, CorpusImage, CorpusPhrase, CorpusRegion
from schemas.labels import LabelKind
from schemas.regions import Box

_MOST_CROPS = 64
_SCALES = (0.8, 1.25)


@dataclass(frozen=True)
class _Crop:
    rgb: Image.Image
    region: CorpusRegion
    trust: Mapping[LabelKind, Trust]


class NameIndex:
    """The names of every image's regions: read once, pixels left out."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._images = list(_names(groups))
        counts: Counter[str] = Counter()
        for _, _, names in self._images:
            counts.update(set(names))
        self._shares = {name: count / len(self._images) for name, count in counts.items()}

    def repeats(self, below: float) -> list[np.ndarray]:
        """For each group how often each usable image comes in an epoch: the largest of sqrt(below / share)
        over its names, at least once."""
        times: dict[int, list[int]] = {}
        for group, _, names in self._images:
            factors = [math.sqrt(below / self._shares[name]) for name in names]
            times.setdefault(group, []).append(max(1, round(max(factors, default=1.0))))
        return [np.array(times[group]) for group in sorted(times)]

    def rare(self, below: float) -> dict[str, list[tuple[int, int, int]]]:
        """Group, place and number of the region for each name that less than `below` of the images have."""
        found: dict[str, list[tuple[int, int, int]]] = {}
        for group, place, names in self._images:
            for number, name in enumerate(names):
                if self._shares[name] < below and not speaks_of_place([name]):
                    found.setdefault(name, []).append((group, place, number))
        return dict(sorted(found.items()))


class RareRegions:
    """At most 64 regions with rare names, evenly over the names, to paste into other images."""

    def __init__(
        self, groups: Sequence[Group], index: NameIndex, below: float, seed: int, limits: InputLimits
    ) -> None:
        rng = np.random.default_rng(seed)
        series = [
            [(*found[i], name) for i in rng.permutation(len(found))]
            for name, found in index.rare(below).items()
        ]
        chosen = [one[i] for i in range(_MOST_CROPS) for one in series if i < len(one)][:_MOST_CROPS]
        self._crops = list(_crops(groups, sorted(chosen), limits))

    def __len__(self) -> int:
        return len(self._crops)

    def paste(
        self, rgb: Image.Image, entry: CorpusImage, trust: Mapping[TrustKey, Trust], rng: np.random.Generator
    ) -> tuple[Image.Image, CorpusImage, Mapping[TrustKey, Trust]]:
        """The image with one of the regions where there is no box; all as it was where none fits.

        The region is trusted as where it came from. What is said of the image as a whole goes, and of its
        phrases and counts those that share a word with the new region; one that is its very name means it
        too.
        """
        regions = entry.regions or []
        names = [name_of(region) for region in regions]
        if not self._crops or not all(names) or speaks_of_place(filter(None, names)):
            return rgb, entry, trust
        crop = self._crops[int(rng.integers(len(self._crops)))]
        scale = float(rng.uniform(*_SCALES))
        size = (crop.rgb.width * scale, crop.rgb.height * scale)
        place = free_place(rgb.size, size, [region.box_xyxy for region in regions], rng)
        if place is None:
            return rgb, entry, trust
        corner = (int(place[0]), int(place[1]))
        rgb = rgb.copy()
        rgb.paste(crop.rgb.resize((int(place[2]) - corner[0], int(place[3]) - corner[1])), corner)
        return rgb, _with_region(entry, crop.region, place), {**trust, **_trust_with(entry, crop, trust)}


def show_rare_more(source: ExampleSource, config: TrainConfig, limits: InputLimits) -> RareRegions | None:
    """As the settings say: repeat the source's images with rare names; rare regions to paste, or None."""
    if not (config.repeat_rare or config.paste_share):
        return None
    index = NameIndex(source.groups)
    rare = None
    if config.paste_share:
        rare = RareRegions(source.groups, index, config.rare_below, config.seed, limits)
    if config.repeat_rare:
        source.repeat(index.repeats(config.rare_below))
    return rare


def _names(groups: Sequence[Group]) -> Iterator[tuple[int, int, list[str]]]:
    """The number of its group, its place there, and the names of each usable image."""
    for number, group in enumerate(groups):
        known = group.load_known()
        for place in np.unique(group.usable).tolist():
            names = map(name_of, known[place].entry.regions or [])
            yield number, place, [name for name in names if name]


def _crops(
    groups: Sequence[Group], chosen: Sequence[tuple[int, int, int, str]], limits: InputLimits
) -> Iterator[_Crop]:
    for number in sorted({number for number, *_ in chosen}):
        examples = groups[number].load()
        for _, place, index, name in (one for one in chosen if one[0] == number):
            crop = _crop_of(examples[place], index, name, limits)
            if crop is not None:
                yield crop


def _crop_of(example: Example, number: int, name: str, limits: InputLimits) -> _Crop | None:
    """The region with that number among those with a name; None where it cannot be cut out, or where boxes
    that cannot be used have left another one in its place."""
    try:
        image, entry = open_example(example, limits)
    except InputReject:
        return None
    named = [(at, one) for at, one in enumerate(entry.regions or []) if name_of(one)]
    if number >= len(named) or name_of(named[number][1]) != name:
        return None
    index, region = named[number]
    corners = np.round(region.box_xyxy).astype(int)
    left, top, right, bottom = np.clip(corners, 0, [*image.rgb.size] * 2).tolist()
    if right <= left or bottom <= top:
        return None
    trust = {
        kind: one for (kind, place, text), one in example.trust.items() if (place, text) == (index, None)
    }
    return _Crop(image.rgb.crop((left, top, right, bottom)), region, trust)


def _with_region(entry: CorpusImage, region: CorpusRegion, place: Box) -> CorpusImage:
    """What is said of an image in which a region was pasted at a place, as far as it still holds."""
    regions = [
        one.model_copy(update={"detailed_caption": None})
        if speaks_of_place([one.detailed_caption or ""])
        else one
        for one in entry.regions or []
    ]
    added = region.model_copy(update={"box_xyxy": place, "detailed_caption": None})
    update = {
        "regions": [*regions, added],
        "caption": None,
        "caption_phrases": [],
        "phrases": list(_phrases_with(entry.phrases, region, len(regions))),
        "counts": list(_counts_with(entry.counts, region)),
        "answers": [
            answer
            for answer in entry.answers
            if answer.region_index is not None and not speaks_of_place([answer.question, answer.answer])
        ],
        "examples": [],
    }
    return entry.model_copy(update=update)


def _phrases_with(
    phrases: Sequence[CorpusPhrase], region: CorpusRegion, index: int
) -> Iterator[CorpusPhrase]:
    for phrase in phrases:
        if _is_name_of(phrase.text, region) and phrase.region_indices is not None:
            yield phrase.model_copy(update={"region_indices": [*phrase.region_indices, index]})
        elif _is_apart(phrase.text, region):
            yield phrase


def _counts_with(counts: Sequence[CorpusCount], region: CorpusRegion) -> Iterator[CorpusCount]:
    for count in counts:
        if _is_name_of(count.text, region):
            yield count.model_copy(update={"count": count.count + 1})
        elif _is_apart(count.text, region):
            yield count


def _is_name_of(text: str, region: CorpusRegion) -> bool:
    return text.casefold() in {name.casefold() for name in names_of(region)}


def _is_apart(text: str, region: CorpusRegion) -> bool:
    """Whether a text stays as true as it was, wherever the region comes to lie."""
    words = frozenset().union(*map(naming_words, names_of(region)))
    return not words & naming_words(text) and not speaks_of_place([text])


def _trust_with(entry: CorpusImage, crop: _Crop, trust: Mapping[TrustKey, Trust]) -> dict[TrustKey, Trust]:
    """How far the pasted region's labels are to be trusted, and what is said of it with others: as far as
    the weaker of both."""
    found: dict[TrustKey, Trust] = {
        (kind, len(entry.regions or []), None): one for kind, one in crop.trust.items()
    }
    said = (crop.region.caption or "").casefold()
    for text in [*(one.text for one in entry.phrases), *(one.text for one in entry.counts)]:
        # What the region is called by its caption is as sure as that; its class is the corpus'.
        of_name = crop.trust.get(LabelKind.BRIEF_CAPTION) if text.casefold() == said else None
        for kind in (LabelKind.GROUND, LabelKind.COUNT):
            together = weakest([trust.get((kind, None, text)), of_name])
            if together is not None and _is_name_of(text, crop.region):
                found[kind, None, text] = together
    return found
