"""The next version with new splits: by image, near-duplicates and keyframes of a video together, rare labels
in every split.

Labels are spread by iterative stratification (K. Sechidis, G. Tsoumakas, I. Vlahavas, "On the Stratification
of Multi-Label Data", ECML PKDD 2011): the rarest label first, each of its groups of images to the split that
still lacks most of that label.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.layout import VIDEOS
from fo1_data.dataset.manifest import next_version
from fo1_data.dataset.pixels import decode_row, image_bytes
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.versions.derive import VersionWriter
from fo1_data.dataset.versions.near_duplicates import difference_hash, group_alike
from fo1_data.errors import ConfigError, DatasetError, InputReject
from schemas.dataset import Manifest
from schemas.images import ImageRow

# A split should get at least so much of a label.
_LEAST = 0.5


@dataclass(frozen=True)
class SplitReport:
    """A version with new splits.

    `images`: of each split; `labels`: how often the label of each name occurs in it; `groups`: how many
    groups of several images that stay together there are; `unread`: images that could not be compared.
    """

    manifest: Manifest
    images: dict[str, int]
    labels: dict[str, dict[str, int]]
    groups: int
    unread: int


def split_dataset(
    address: str, out: str, shares: Mapping[str, float], *, max_distance: int = 4, seed: int = 0
) -> SplitReport:
    """Write the dataset at `address` with new splits into `out`.

    `shares`: of the images, by split; the rest is `train`. `max_distance`: images whose difference hashes
    differ in at most so many of 64 bits stay together; -1: images are not compared, nor read. Raises
    ConfigError if the shares leave nothing, DatasetError if `out` is not empty.
    """
    shares = _with_train(shares)
    dataset = open_dataset(address)
    hashes, names, videos = [], [], []
    video_of = {
        keyframe["image_id"]: record["video_id"]
        for batch in dataset.batches_of(VIDEOS, ["video_id", "keyframes"])
        for record in batch.to_pylist()
        for keyframe in record["keyframes"]
    }
    for row in dataset.rows():
        videos.append(video_of.get(row.image_id))
        hashes.append(_hash_of(row) if max_distance >= 0 else None)
        names.append(_names_of(row))
    groups = group_alike(hashes, max(0, max_distance), videos)
    split_of = assign_splits(groups, names, shares, seed)
    step = {"split": {"shares": shares, "max_distance": max_distance, "seed": seed}}
    writer = VersionWriter(out, dataset.manifest, step, dataset.store.url)
    for row, split in zip(dataset.rows(), split_of, strict=True):
        writer.add(row.model_copy(update={"split": split}))
    writer.share_tables(dataset.store)
    manifest = writer.seal(
        next_version(dataset.manifest.version),
        list(dataset.rejects()),
        dataset.manifest.duplicates,
        history=dataset.history(),
    )
    labels: dict[str, Counter[str]] = {split: Counter() for split in shares}
    for split, of_image in zip(split_of, names, strict=True):
        labels[split].update(of_image)
    images = Counter(split_of)
    sizes = Counter(groups)
    return SplitReport(
        manifest,
        images={split: images[split] for split in shares},
        labels={split: dict(counts.most_common()) for split, counts in labels.items()},
        groups=sum(size > 1 for size in sizes.values()),
        unread=hashes.count(None) if max_distance >= 0 else 0,
    )


def assign_splits(
    groups: Sequence[int], names: Sequence[Counter[str]], shares: Mapping[str, float], seed: int
) -> list[str]:
    """The split of each image. `groups`: images with an equal number stay together; `names`: their labels."""
    members: dict[int, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)
    counts = {
        group: sum((names[place] for place in of_group), Counter[str]())
        for group, of_group in members.items()
    }
    totals = Counter[str]()
    for of_group in counts.values():
        totals.update(of_group)
    missing = _Missing(len(names), totals, shares)
    rng = np.random.default_rng(seed)
    left = [list(members)[place] for place in rng.permutation(len(members)).tolist()]
    groups_of: dict[str, list[int]] = {}
    for group in left:
        for name in counts[group]:
            groups_of.setdefault(name, []).append(group)
    split_of_group: dict[int, str] = {}
    for name in missing.rarest_first():
        # The largest first: what is left can even them out.
        having = [group for group in groups_of[name] if group not in split_of_group]
        for group in sorted(having, key=lambda group: -counts[group][name]):
            split_of_group[group] = missing.assign(len(members[group]), counts[group], name)
    unnamed = [group for group in left if group not in split_of_group]
    for group in sorted(unnamed, key=lambda group: -len(members[group])):
        split_of_group[group] = missing.assign(len(members[group]), counts[group], None)
    return [split_of_group[group] for group in groups]


class _Missing:
    """How many images, and how many labels of each name, each split still lacks."""

    def __init__(self, num_images: int, totals: Counter[str], shares: Mapping[str, float]) -> None:
        self._totals, self._smallest = totals, min(shares.values())
        self._images = {split: share * num_images for split, share in shares.items()}
        self._labels = {
            split: {name: share * total for name, total in totals.items()} for split, share in shares.items()
        }

    def rarest_first(self) -> list[str]:
        """The names that are frequent enough for every split, the rarest first.

        By rarer ones, such as a caption of a single image, all images would go to the largest split.
        """
        names = [name for name, total in self._totals.items() if total * self._smallest >= _LEAST]
        return sorted(names, key=lambda name: (self._totals[name], name))

    def assign(self, num_images: int, labels: Counter[str], name: str | None) -> str:
        """Give a group of images to the split that lacks most of `name`, or else most images."""

        def lack(split: str) -> tuple[float, float]:
            return (self._labels[split][name] if name is not None else 0.0, self._images[split])

        split = max(self._images, key=lack)
        self._images[split] -= num_images
        for label, count in labels.items():
            self._labels[split][label] -= count
        return split


def _with_train(shares: Mapping[str, float]) -> dict[str, float]:
    rest = 1 - sum(shares.values())
    if any(share < 0 for share in shares.values()) or rest <= 0:
        raise ConfigError(f"the shares of {' and '.join(shares)} must leave some images to train on")
    return {"train": rest, **{split: share for split, share in shares.items() if share}}


def _hash_of(row: ImageRow) -> int | None:
    """The difference hash of a row's image; None if it cannot be read."""
    limits = InputLimits()
    try:
        return difference_hash(decode_row(row, image_bytes(row, limits), limits).rgb)
    except (InputReject, DatasetError):
        return None


def _names_of(row: ImageRow) -> Counter[str]:
    """How many regions of a row have each name: the class, else the brief caption."""
    names = (region.source_label or region.brief_caption for region in row.regions)
    return Counter(name.casefold() for name in names if name)
