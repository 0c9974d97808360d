"""Which image of a corpus each name of a file of boxes means.

A relative name means the images whose path ends with all of it (`a/x.jpg` is not `b/x.jpg`). An absolute path
or URL may be from another machine: if no path ends with all of it, it means the image with most last parts of
the path in common, if no other name of the file fits that image as well. A name that fits several images
equally well means none of them, unless one lies at exactly that path below the folder that all images share.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fo1_data.corpus.frame_names import number_of_frame
from fo1_data.storage.addresses import scheme_of
from schemas.corpus import CorpusImage


@dataclass(frozen=True)
class Pairing:
    """`images`: the index of the one image that a name means. `ambiguous`: the images that a name fits
    equally well. Names in neither fit no image."""

    images: dict[str, int] = field(default_factory=dict)
    ambiguous: dict[str, list[int]] = field(default_factory=dict)


@dataclass(frozen=True, order=True)
class _Fit:
    """How well a name fits an image; more is better.

    is_exact: the name is the image's address, or its path below the folder that all images share.
    """

    is_whole: bool
    num_parts: int
    is_exact: bool


def pair_names(names: Iterable[str], entries: Sequence[CorpusImage]) -> Pairing:
    """Pair names with images. The time is proportional to the sum of the paths' lengths."""
    wholes: dict[str, list[str]] = defaultdict(list)
    ends: dict[str, list[str]] = defaultdict(list)
    for name in names:
        parts = path_parts(name)
        wholes["/".join(parts)].append(name)
        if is_absolute(name):
            for end in _ends(parts):
                ends[end].append(name)
    num_shared = _num_shared_parts(entries)
    fits: dict[str, dict[int, _Fit]] = defaultdict(dict)
    for index, entry in enumerate(entries):
        for name, fit in _fits(entry, wholes, ends, num_shared).items():
            fits[name][index] = fit
    pairing = Pairing()
    for name, by_image in fits.items():
        best = max(by_image.values())
        indices = [index for index, fit in by_image.items() if fit == best]
        if len(indices) == 1:
            pairing.images[name] = indices[0]
        else:
            pairing.ambiguous[name] = indices
    return pairing


def path_parts(name: str) -> list[str]:
    """The folders and the file of a path or URL, with either slash."""
    return [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")] or [name]


def is_absolute(name: str) -> bool:
    """Whether a name is a URL or begins at the root of a file system, also of Windows."""
    return bool(scheme_of(name)) or name.startswith(("/", "\\")) or name[1:3] in (":\\", ":/")


def _fits(
    entry: CorpusImage, wholes: dict[str, list[str]], ends: dict[str, list[str]], num_shared: int
) -> dict[str, _Fit]:
    """The names that fit an image. `ends`: of every end of an absolute name, the names that have it."""
    origin = entry.origin
    names = [entry.origin_name, origin.inner or origin.uri]
    if number_of_frame(origin.inner) is not None:
        names = [entry.origin_name, origin.uri]
    spellings = [path_parts(name) for name in dict.fromkeys(names)]
    fits = {}
    for parts in spellings:
        for end in _ends(parts):
            num_parts = end.count("/") + 1
            for name in wholes.get(end, []):
                num_left = len(parts) - num_parts
                fits[name] = _Fit(True, num_parts, num_left == (0 if is_absolute(name) else num_shared))
    if not fits:
        longest = next((end for end in _ends(spellings[-1]) if end in ends), "")
        if len(ends.get(longest, [])) == 1:
            fits[ends[longest][0]] = _Fit(False, longest.count("/") + 1, False)
    return fits


def _ends(parts: Sequence[str]) -> list[str]:
    """All ends of a path, the longest first."""
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _num_shared_parts(entries: Sequence[CorpusImage]) -> int:
    """How many first folders the paths of all images share."""
    shared: list[str] | None = None
    for entry in entries:
        folders = path_parts(entry.origin.uri)[:-1]
        if shared is None:
            shared = folders
        elif folders[: len(shared)] != shared:
            pairs = zip(shared, folders, strict=False)
            length = next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(shared), len(folders)))
            shared = shared[:length]
    return len(shared or [])
