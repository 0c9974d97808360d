"""What few images show is shown more often: its images come again, and its regions are pasted elsewhere.

A region's name is its caption, else its label. Rare is a name that less than a set share of the images have.

Sources: repeat factors of Gupta et al., LVIS (arXiv 1908.03195), appendix B.1; pasting after Ghiasi et al.,
Simple Copy-Paste (arXiv 2012.07177), here with the box's rectangle.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from fo1_data.corpus.images import InputLimits
from fo1_data.errors import InputReject
from fo1_data.evaluation.words import words_of
from fo1_data.training.augmentation import free_place
from fo1_data.training.dataset_samples import open_example
from fo1_data.training.example_source import Group
from schemas.corpus import CorpusImage, CorpusPhrase, CorpusRegion

_MOST_CROPS = 64
_SCALES = (0.8, 1.25)


@dataclass(frozen=True)
class _Crop:
    name: str
    rgb: Image.Image
    region: CorpusRegion


class NameShares:
    """Which share of the images has each name."""

    def __init__(self, groups: Sequence[Group]) -> None:
        images: Counter[str] = Counter()
        num_images = 0
        for _, _, entry in _entries(groups):
            images.update(set(names_of(entry)))
            num_images += 1
        self.shares = {name: count / num_images for name, count in images.items()}

    def repeats(self, entry: CorpusImage, below: float) -> int:
        """How often an image comes in an epoch: max over its names of sqrt(below / share), at least once."""
        factors = [math.sqrt(below / self.shares[name]) for name in names_of(entry)]
        return max(1, round(max(factors, default=1.0)))

    def rare(self, below: float) -> set[str]:
        """The names that less than that share of the images have."""
        return {name for name, share in self.shares.items() if share < below}


def repeated(groups: Sequence[Group], below: float) -> list[Group]:
    """The groups with each image as often as its rarest name wants."""
    shares = NameShares(groups)
    times: dict[int, list[int]] = {}
    for number, _, entry in _entries(groups):
        times.setdefault(number, []).append(shares.repeats(entry, below))
    return [
        replace(group, usable=np.repeat(group.usable, times[number])) for number, group in enumerate(groups)
    ]


class RareRegions:
    """At most 64 regions with rare names, evenly over the names, to paste into other images."""

    def __init__(self, groups: Sequence[Group], below: float, seed: int, limits: InputLimits) -> None:
        wanted = NameShares(groups).rare(below)
        places: dict[str, list[tuple[int, int, int]]] = {}
        for number, place, entry in _entries(groups):
            for index, name in enumerate(names_of(entry)):
                if name in wanted:
                    places.setdefault(name, []).append((number, place, index))
        rng = np.random.default_rng(seed)
        series = [[found[i] for i in rng.permutation(len(found))] for _, found in sorted(places.items())]
        chosen = [one[i] for i in range(_MOST_CROPS) for one in series if i < len(one)][:_MOST_CROPS]
        self._crops = list(_crops(groups, sorted(chosen), limits))

    def __len__(self) -> int:
        return len(self._crops)

    def paste(
        self, rgb: Image.Image, entry: CorpusImage, rng: np.random.Generator
    ) -> tuple[Image.Image, CorpusImage]:
        """The image with one of the regions where there is no box; as it was where none fits.

        What is said of the image as a whole goes, and of its phrases those that might mean the new region
        too; one that is its very name names it.
        """
        regions = entry.regions or []
        if not self._crops or len(regions) != len(names_of(entry)):
            return rgb, entry
        crop = self._crops[int(rng.integers(len(self._crops)))]
        scale = float(rng.uniform(*_SCALES))
        size = (crop.rgb.width * scale, crop.rgb.height * scale)
        place = free_place(rgb.size, size, [region.box_xyxy for region in regions], rng)
        if place is None:
            return rgb, entry
        corner = (int(place[0]), int(place[1]))
        rgb = rgb.copy()
        rgb.paste(crop.rgb.resize((int(place[2]) - corner[0], int(place[3]) - corner[1])), corner)
        added = crop.region.model_copy(update={"box_xyxy": place})
        update = {
            "regions": [*regions, added],
            "phrases": list(_phrases_with(entry.phrases, crop.name, len(regions))),
            "counts": [],
            "answers": [answer for answer in entry.answers if answer.region_index is not None],
            "examples": [],
        }
        return rgb, entry.model_copy(update=update)


def names_of(entry: CorpusImage) -> list[str]:
    """The names of an image's regions that have one, in order."""
    names = [region.caption or region.label for region in entry.regions or []]
    return [name.casefold() for name in names if name]


def _entries(groups: Sequence[Group]) -> Iterator[tuple[int, int, CorpusImage]]:
    """The number of its group, its place there, and what is known of each usable image, pixels left out."""
    for number, group in enumerate(groups):
        known = group.load_known()
        for place in np.unique(group.usable).tolist():
            yield number, place, known[place].entry


def _crops(
    groups: Sequence[Group], chosen: Sequence[tuple[int, int, int]], limits: InputLimits
) -> Iterator[_Crop]:
    for number in sorted({number for number, _, _ in chosen}):
        examples = groups[number].load()
        for _, place, index in (one for one in chosen if one[0] == number):
            try:
                image, entry = open_example(examples[place], limits)
            except InputReject:
                continue
            named = [region for region in entry.regions or [] if region.caption or region.label]
            if index >= len(named):
                continue
            corners = np.round(named[index].box_xyxy).astype(int)
            left, top, right, bottom = np.clip(corners, 0, [*image.rgb.size] * 2).tolist()
            if right > left and bottom > top:
                rgb = image.rgb.crop((left, top, right, bottom))
                yield _Crop(names_of(entry)[index], rgb, named[index])


def _phrases_with(phrases: Sequence[CorpusPhrase], name: str, index: int) -> Iterator[CorpusPhrase]:
    words = set(words_of(name))
    for phrase in phrases:
        if phrase.text.casefold() == name and phrase.region_indices is not None:
            yield phrase.model_copy(update={"region_indices": [*phrase.region_indices, index]})
        elif not words & set(words_of(phrase.text)):
            yield phrase
