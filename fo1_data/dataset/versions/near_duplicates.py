"""Groups of images that look nearly the same: frames of a film, other sizes and qualities of a picture.

Images are compared by their difference hash: 64 bits that say whether each of 8 x 8 places of the shrunken
grey image is brighter than the place to its right (N. Krawetz, "Kind of Like That", 2013).
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from PIL import Image

_SIDE = 8
_BITS = _SIDE * _SIDE


def difference_hash(image: Image.Image) -> int:
    """The 64 bits of an image."""
    grey = image.convert("L").resize((_SIDE + 1, _SIDE), Image.Resampling.LANCZOS)
    values = np.asarray(grey, dtype=np.int16)
    bits = np.packbits(values[:, 1:] < values[:, :-1])
    return int.from_bytes(bits.tobytes(), "big")


def group_alike(
    hashes: Sequence[int | None], max_distance: int, videos: Sequence[str | None] = ()
) -> list[int]:
    """The group of each hash, named by the place of its first member; None is a group of its own.

    `videos`: of each hash the video that it is a frame of; frames of one video are in one group.

    Two hashes that differ in at most `max_distance` bits are in one group, and so are all that are linked by
    such pairs. Hashes that are this close agree in at least one of `max_distance` + 1 bands of bits, so only
    those with an equal band are compared.
    """
    groups = _Groups(len(hashes))
    edges = [_BITS * number // (max_distance + 1) for number in range(max_distance + 2)]
    for low, high in pairwise(edges):
        by_band: dict[int, dict[int, int]] = {}
        for place, value in enumerate(hashes):
            if value is None:
                continue
            alike = by_band.setdefault((value >> low) & ((1 << (high - low)) - 1), {})
            if value in alike:  # equal hashes are compared once
                groups.join(alike[value], place)
                continue
            for other, other_place in alike.items():
                if (value ^ other).bit_count() <= max_distance:
                    groups.join(other_place, place)
            alike[value] = place
    first_frames: dict[str, int] = {}
    for place, video in enumerate(videos):
        if video is not None:
            groups.join(first_frames.setdefault(video, place), place)
    return [groups.first(place) for place in range(len(hashes))]


class _Groups:
    """Disjoint groups of places; a group is named by its first place."""

    def __init__(self, num_places: int) -> None:
        self._parents = list(range(num_places))

    def first(self, place: int) -> int:
        while self._parents[place] != place:
            self._parents[place] = self._parents[self._parents[place]]
            place = self._parents[place]
        return place

    def join(self, place: int, other: int) -> None:
        low, high = sorted((self.first(place), self.first(other)))
        self._parents[high] = low
