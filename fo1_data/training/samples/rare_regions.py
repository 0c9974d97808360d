"""Oversampling of rare names: their images are repeated, and their regions are pasted into other images.

A region's name is its caption, else its class. A name is rare if less than a set share of the images have it.
Pasting keeps all labels true: a region whose name mentions a place is never pasted, an image with such a
region gets none, and other labels that mention a place are left out.

Sources: repeat factors of Gupta et al., LVIS (arXiv 1908.03195), appendix B.1; pasting after Ghiasi et al.,
Simple Copy-Paste (arXiv 2012.07177), here with the box's rectangle.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
from PIL import Image

from fo1_data.corpus.images import InputLimits
from fo1_data.errors import InputReject
from fo1_data.training.samples.augmentation import draw_free_box
from fo1_data.training.samples.entry_texts import mention_place, name_of, names_of, naming_words
from fo1_data.training.samples.image_labels import LabelKey, LabelTrust, least_trusted
from fo1_data.training.samples.open_examples import TrainingExample, open_example
from fo1_data.training.samples.source import ExampleSource, Group
from fo1_data.training.settings import TrainConfig
from schemas.corpus import CorpusCount, CorpusImage, CorpusPhrase, CorpusRegion
from schemas.labels import LabelKind
from schemas.regions import Box

_MAX_CROPS = 64
_SCALES = (0.8, 1.25)


@dataclass(frozen=True)
class _Crop:
    rgb: Image.Image
    region: CorpusRegion
    trust: Mapping[LabelKind, LabelTrust]


class _RegionPlace(NamedTuple):
    """Where a named region is: group, example in the group, number among the example's named regions."""

    group: int
    example: int
    number: int


class NameIndex:
    """The names of every image's regions; read once, without pixels."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._images = list(_read_names(groups))
        counts: Counter[str] = Counter()
        for _, _, names in self._images:
            counts.update(set(names))
        self._shares = {name: count / len(self._images) for name, count in counts.items()}

    def repeats(self, below: float) -> list[np.ndarray]:
        """Per group, how often each usable image occurs in an epoch: the largest sqrt(below / share) of its
        names, rounded, but at least once. `share`: the share of the images that have the name."""
        times: dict[int, list[int]] = {}
        for group, _, names in self._images:
            factors = [math.sqrt(below / self._shares[name]) for name in names]
            times.setdefault(group, []).append(max(1, round(max(factors, default=1.0))))
        return [np.array(times[group]) for group in sorted(times)]

    def rare(self, below: float) -> dict[str, list[_RegionPlace]]:
        """The regions of each name that less than a share `below` of the images have."""
        places: dict[str, list[_RegionPlace]] = {}
        for group, index, names in self._images:
            for number, name in enumerate(names):
                if self._shares[name] < below and not mention_place([name]):
                    places.setdefault(name, []).append(_RegionPlace(group, index, number))
        return dict(sorted(places.items()))


class RareRegions:
    """At most 64 regions with rare names, drawn evenly from the names, to paste into other images."""

    def __init__(
        self, groups: Sequence[Group], index: NameIndex, below: float, seed: int, limits: InputLimits
    ) -> None:
        rng = np.random.default_rng(seed)
        series = [
            [(places[i], name) for i in rng.permutation(len(places))]
            for name, places in index.rare(below).items()
        ]
        chosen = [regions[i] for i in range(_MAX_CROPS) for regions in series if i < len(regions)]
        self._crops = list(_cut_crops(groups, sorted(chosen[:_MAX_CROPS]), limits))

    def __len__(self) -> int:
        return len(self._crops)

    def paste(
        self,
        rgb: Image.Image,
        entry: CorpusImage,
        trust: Mapping[LabelKey, LabelTrust],
        rng: np.random.Generator,
    ) -> tuple[Image.Image, CorpusImage, Mapping[LabelKey, LabelTrust]]:
        """Paste a random one of the regions where the image has no box; unchanged if it does not fit.

        The new region's labels keep their trust. Labels of the whole image are dropped, and so are phrases
        and counts that have a word in common with the new region; a phrase or count that is the region's
        name includes it instead.
        """
        regions = entry.regions or []
        names = [name_of(region) for region in regions]
        if not self._crops or not all(names) or mention_place(filter(None, names)):
            return rgb, entry, trust
        crop = self._crops[int(rng.integers(len(self._crops)))]
        scale = float(rng.uniform(*_SCALES))
        box_wh = (crop.rgb.width * scale, crop.rgb.height * scale)
        box = draw_free_box(rgb.size, box_wh, [region.box_xyxy for region in regions], rng)
        if box is None:
            return rgb, entry, trust
        corner = (int(box[0]), int(box[1]))
        rgb = rgb.copy()
        rgb.paste(crop.rgb.resize((int(box[2]) - corner[0], int(box[3]) - corner[1])), corner)
        return rgb, _add_region(entry, crop.region, box), {**trust, **_pasted_trust(entry, crop, trust)}


def oversample_rare(source: ExampleSource, config: TrainConfig, limits: InputLimits) -> RareRegions | None:
    """Repeat the source's images with rare names, and return rare regions to paste, as the settings say."""
    if not (config.repeat_rare or config.paste_share):
        return None
    index = NameIndex(source.groups)
    rare = None
    if config.paste_share:
        rare = RareRegions(source.groups, index, config.rare_below, config.seed, limits)
    if config.repeat_rare:
        source.repeat(index.repeats(config.rare_below))
    return rare


def _read_names(groups: Sequence[Group]) -> Iterator[tuple[int, int, list[str]]]:
    """Number of the group, index in the group, and names of the regions of each usable image."""
    for number, group in enumerate(groups):
        examples = group.load_without_pixels()
        for index in np.unique(group.usable).tolist():
            names = map(name_of, examples[index].entry.regions or [])
            yield number, index, [name for name in names if name]


def _cut_crops(
    groups: Sequence[Group], chosen: Sequence[tuple[_RegionPlace, str]], limits: InputLimits
) -> Iterator[_Crop]:
    for group, places in groupby(chosen, key=lambda entry: entry[0].group):
        examples = groups[group].load()
        for place, name in places:
            crop = _cut_crop(examples[place.example], place.number, name, limits)
            if crop is not None:
                yield crop


def _cut_crop(example: TrainingExample, number: int, name: str, limits: InputLimits) -> _Crop | None:
    """Cut out the named region with this number.

    Returns None if it cannot be cut out, or if the number belongs to a region of another name because
    unusable boxes were removed.
    """
    try:
        image, entry = open_example(example, limits)
    except InputReject:
        return None
    named = [(index, region) for index, region in enumerate(entry.regions or []) if name_of(region)]
    if number >= len(named) or name_of(named[number][1]) != name:
        return None
    index, region = named[number]
    corners = np.round(region.box_xyxy).astype(int)
    left, top, right, bottom = np.clip(corners, 0, [*image.rgb.size] * 2).tolist()
    if right <= left or bottom <= top:
        return None
    trust = {kind: value for (kind, at, text), value in example.trust.items() if (at, text) == (index, None)}
    return _Crop(image.rgb.crop((left, top, right, bottom)), region, trust)


def _add_region(entry: CorpusImage, region: CorpusRegion, box: Box) -> CorpusImage:
    """The labels of an image that stay true after a region was pasted at a box, and the region."""
    regions = [
        other.model_copy(update={"detailed_caption": None})
        if mention_place([other.detailed_caption or ""])
        else other
        for other in entry.regions or []
    ]
    added = region.model_copy(update={"box_xyxy": box, "detailed_caption": None})
    update = {
        "regions": [*regions, added],
        "caption": None,
        "caption_phrases": [],
        "phrases": list(_phrases_with(entry.phrases, region, len(regions))),
        "counts": list(_counts_with(entry.counts, region)),
        "answers": [
            answer
            for answer in entry.answers
            if answer.region_index is not None and not mention_place([answer.question, answer.answer])
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
        elif _is_unrelated(phrase.text, region):
            yield phrase


def _counts_with(counts: Sequence[CorpusCount], region: CorpusRegion) -> Iterator[CorpusCount]:
    for count in counts:
        if _is_name_of(count.text, region):
            yield count.model_copy(update={"count": count.count + 1})
        elif _is_unrelated(count.text, region):
            yield count


def _is_name_of(text: str, region: CorpusRegion) -> bool:
    return text.casefold() in {name.casefold() for name in names_of(region)}


def _is_unrelated(text: str, region: CorpusRegion) -> bool:
    """Whether a text stays true wherever the region is pasted."""
    words = frozenset().union(*map(naming_words, names_of(region)))
    return not words & naming_words(text) and not mention_place([text])


def _pasted_trust(
    entry: CorpusImage, crop: _Crop, trust: Mapping[LabelKey, LabelTrust]
) -> dict[LabelKey, LabelTrust]:
    """The trust in the pasted region's labels, and in phrases and counts that now include it: the lower of
    the phrase's own and the region's."""
    pasted: dict[LabelKey, LabelTrust] = {
        (kind, len(entry.regions or []), None): value for kind, value in crop.trust.items()
    }
    caption = (crop.region.caption or "").casefold()
    for text in [*(phrase.text for phrase in entry.phrases), *(count.text for count in entry.counts)]:
        # A name from the caption is trusted as the caption; a name from the class is the corpus' own: gold.
        name_trust = crop.trust.get(LabelKind.BRIEF_CAPTION) if text.casefold() == caption else None
        for kind in (LabelKind.GROUND, LabelKind.COUNT):
            lower = least_trusted([trust.get((kind, None, text)), name_trust])
            if lower is not None and _is_name_of(text, crop.region):
                pasted[kind, None, text] = lower
    return pasted
