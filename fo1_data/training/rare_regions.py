"""What few images show is shown more often: its images come again, and its regions are pasted elsewhere.

A region's name is its caption, else its label. Rare is a name that less than a set share of the images have.

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
from fo1_data.training.augmentation import free_place
from fo1_data.training.dataset_samples import Example, open_example
from fo1_data.training.example_source import ExampleSource, Group
from fo1_data.training.negatives import naming_words, texts_of
from fo1_data.training.samples import Trust, TrustKey
from fo1_data.training.settings import TrainConfig
from schemas.corpus import CorpusImage, CorpusPhrase, CorpusRegion
from schemas.labels import LabelKind

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
                if self._shares[name] < below:
                    found.setdefault(name, []).append((group, place, number))
        return dict(sorted(found.items()))


class RareRegions:
    """At most 64 regions with rare names, evenly over the names, to paste into other images."""

    def __init__(
        self, groups: Sequence[Group], index: NameIndex, below: float, seed: int, limits: InputLimits
    ) -> None:
        rng = np.random.default_rng(seed)
        series = [[found[i] for i in rng.permutation(len(found))] for found in index.rare(below).values()]
        chosen = [one[i] for i in range(_MOST_CROPS) for one in series if i < len(one)][:_MOST_CROPS]
        self._crops = list(_crops(groups, sorted(chosen), limits))

    def __len__(self) -> int:
        return len(self._crops)

    def paste(
        self, rgb: Image.Image, entry: CorpusImage, trust: Mapping[TrustKey, Trust], rng: np.random.Generator
    ) -> tuple[Image.Image, CorpusImage, Mapping[TrustKey, Trust]]:
        """The image with one of the regions where there is no box; all as it was where none fits.

        The region is trusted as where it came from. What is said of the image as a whole goes, and of its
        phrases those that share a word with the new region; one that is its very name names it too.
        """
        regions = entry.regions or []
        if not self._crops or len(regions) != len(names_of(entry)):
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
        added = crop.region.model_copy(update={"box_xyxy": place})
        update = {
            "regions": [*regions, added],
            "phrases": list(_phrases_with(entry.phrases, added, len(regions))),
            "counts": [],
            "answers": [answer for answer in entry.answers if answer.region_index is not None],
            "examples": [],
        }
        of_region: dict[TrustKey, Trust] = {
            (kind, len(regions), None): one for kind, one in crop.trust.items()
        }
        return rgb, entry.model_copy(update=update), {**trust, **of_region}


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


def names_of(entry: CorpusImage) -> list[str]:
    """The names of an image's regions that have one, in order."""
    names = [region.caption or region.label for region in entry.regions or []]
    return [name.casefold() for name in names if name]


def _names(groups: Sequence[Group]) -> Iterator[tuple[int, int, list[str]]]:
    """The number of its group, its place there, and the names of each usable image."""
    for number, group in enumerate(groups):
        known = group.load_known()
        for place in np.unique(group.usable).tolist():
            yield number, place, names_of(known[place].entry)


def _crops(
    groups: Sequence[Group], chosen: Sequence[tuple[int, int, int]], limits: InputLimits
) -> Iterator[_Crop]:
    for number in sorted({number for number, _, _ in chosen}):
        examples = groups[number].load()
        for _, place, index in (one for one in chosen if one[0] == number):
            crop = _crop_of(examples[place], index, limits)
            if crop is not None:
                yield crop


def _crop_of(example: Example, number: int, limits: InputLimits) -> _Crop | None:
    """The region with that number among those with a name; None where it cannot be cut out."""
    try:
        image, entry = open_example(example, limits)
    except InputReject:
        return None
    named = [(at, one) for at, one in enumerate(entry.regions or []) if one.caption or one.label]
    if number >= len(named):
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


def _phrases_with(
    phrases: Sequence[CorpusPhrase], region: CorpusRegion, index: int
) -> Iterator[CorpusPhrase]:
    texts = texts_of(region)
    names = {text.casefold() for text in texts}
    words = frozenset().union(*map(naming_words, texts))
    for phrase in phrases:
        if phrase.text.casefold() in names and phrase.region_indices is not None:
            yield phrase.model_copy(update={"region_indices": [*phrase.region_indices, index]})
        elif not words & naming_words(phrase.text):
            yield phrase
