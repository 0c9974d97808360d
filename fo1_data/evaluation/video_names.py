"""Which predicted video is which gold video, by their names and addresses.

The only video of each side is the same one. Else two names belong together if they are equal, or if most of
the last parts of their paths are, without suffix and without the folders that every sequence of MOT challenge
has (`img1`, `gt`); a name that fits several equally well is paired with none.
"""

import re
from collections.abc import Sequence

from fo1_data.corpus.video.listing import SUFFIXES
from fo1_data.storage.addresses import suffix_of_name

# Parts of a path that tell no video from another.
_COMMON = frozenset({"img1", "gt", "det", "gt.txt", "det.txt", "test.txt"})
# What a name may end in without being another one.
_SUFFIXES = frozenset({*SUFFIXES, ".txt", ".json"})
_SEPARATOR = re.compile(r"[/\\]+")


def pair_videos(predicted: Sequence[Sequence[str]], gold: Sequence[Sequence[str]]) -> dict[int, int]:
    """The number of the predicted video for each gold video that has one. Items: the names of one video."""
    if len(predicted) == len(gold) == 1:
        return {0: 0}
    pairs: dict[int, int] = {}
    wanted = [{_parts(name) for name in names} for names in predicted]
    best_for: dict[int, list[int]] = {}
    for number, names in enumerate(gold):
        ours = {_parts(name) for name in names}
        lengths = [max((_alike(a, b) for a in ours for b in theirs), default=0) for theirs in wanted]
        longest = max(lengths, default=0)
        best = [place for place, length in enumerate(lengths) if length == longest and longest > 0]
        if len(best) == 1:
            best_for.setdefault(best[0], []).append(number)
    for place, numbers in best_for.items():
        if len(numbers) == 1:
            pairs[numbers[0]] = place
    return dict(sorted(pairs.items()))


def _parts(name: str) -> tuple[str, ...]:
    parts = [part for part in _SEPARATOR.split(name) if part and part not in _COMMON]
    if parts:
        suffix = suffix_of_name(parts[-1])
        parts[-1] = parts[-1][: -len(suffix)] if suffix in _SUFFIXES else parts[-1]
    return tuple(parts)


def _alike(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many last parts are equal."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
