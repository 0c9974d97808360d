"""Finding the image that an annotation file names: among the files of a folder, or near the file itself.

Tools write names of many kinds: relative to the file, to the folder of the data set or to a server, absolute
on somebody else's machine, without a suffix. The best match is the file whose path ends in the most parts of
the name; of several, the one nearest to the annotation file, then one in a folder that the file is named
after (`instances_train2017.json`, `train2017/`). If several remain, none is taken.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from typing import Protocol

from PIL import Image

from fo1_data.corpus.places import ImagePlaces, kind_of
from fo1_data.corpus.video.listing import is_video
from fo1_data.storage.addresses import (
    base_name,
    join,
    local_path,
    parent,
    scheme_of,
    suffix_of,
    suffix_of_name,
)

# Suffixes that Pillow has for other files.
_NO_IMAGES = (".pdf", ".mpg", ".mpeg")


class ImageLookup(Protocol):
    """Where the images that an annotation file names are looked for."""

    def look(self, name: str, near: str) -> list[str]:
        """The addresses that fit a name best: one, none, or several that fit equally well.

        `near`: the address of the file that names the image. A name without an image's suffix fits files
        with any suffix.
        """
        ...


def has_image_suffix(name: str) -> bool:
    """Whether a file name is that of an image or a video."""
    suffix = suffix_of_name(name)
    return (suffix in Image.registered_extensions() and suffix not in _NO_IMAGES) or is_video(name)


class FolderImages:
    """The images below a folder, by name."""

    def __init__(self, addresses: Iterable[str]) -> None:
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for address in addresses:
            name = base_name(address)
            self._by_name[name].append(address)
            end = name.rfind(".")
            stem = name[:end] if 0 < end < len(name) - 1 else name
            if stem != name:
                self._by_name[stem].append(address)

    def look(self, name: str, near: str) -> list[str]:
        """See `ImageLookup`. A URL or an absolute path outside of the folder is taken if it exists."""
        parts = _parts(name)
        candidates = self._by_name.get(parts[-1], []) if parts else []
        if not candidates:
            return _elsewhere(name)
        if len(candidates) == 1:
            return list(candidates)
        beside = join(parent(near), name.replace("\\", "/")) if not scheme_of(name) else name
        if beside in candidates:
            return [beside]
        best = _longest(candidates, lambda address: _common_end(_parts(address), parts))
        home = parent(near).split("/")
        best = _longest(best, lambda address: _common_start(parent(address).split("/"), home))
        split_names = _WORD.findall(base_name(near))
        return _longest(best, lambda address: sum(part in split_names for part in parent(address).split("/")))


class FolderPlaces(ImagePlaces):
    """The images of a folder as the places where a file of one image, or one listing file, looks for them.

    `near`: the address of that file. An image of its own name is looked for by its whole path, so that the
    file is told from others of the same name in other folders.
    """

    def __init__(self, images: FolderImages, near: str) -> None:
        home = parent(near)
        levels = (home, parent(home), parent(parent(home)))
        super().__init__([join(level, name) for level in levels for name in (".", "images", "JPEGImages")])
        self._images = images
        self._near = near

    def look(self, name: str) -> str | None:
        """The address of an image; None if no file fits the name, or several do.

        An image that is not in the folder is looked for near the file, up to two levels above it.
        """
        stem = base_name(self._near).removesuffix(suffix_of(self._near))
        is_own = "/" not in name and PurePosixPath(name).stem == stem
        longer = f"{parent(self._near)}/{name}" if is_own else name
        found = self._images.look(longer, self._near)
        if not found and not scheme_of(name) and not name.startswith("/"):
            return super().look(name)
        return found[0] if len(found) == 1 else None


class NearbyImages:
    """The images near an annotation file that is given alone: in its folder and the one above it."""

    def look(self, name: str, near: str) -> list[str]:
        """See `ImageLookup`; a name without suffix is tried with those of images."""
        parts = _parts(name)
        spellings = ["/".join(parts), *parts[-1:]]
        if not has_image_suffix(name):
            spellings += [spelling + suffix for spelling in spellings for suffix in _USUAL_SUFFIXES]
        folder = parent(near)
        for place in (folder, parent(folder)):
            for inner in (".", "images", "data"):
                for spelling in dict.fromkeys(spellings):
                    address = join(join(place, inner) if inner != "." else place, spelling)
                    if spelling and kind_of(address) == "file":
                        return [address]
        return _elsewhere(name)


_WORD = re.compile(r"[^_.\-]+")
_USUAL_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".webp", ".tif", ".tiff", ".bmp")


def _elsewhere(name: str) -> list[str]:
    if scheme_of(name) and scheme_of(name) != "file":
        return [name]
    is_absolute = name.startswith("/") and local_path(name) is not None
    return [name] if is_absolute and kind_of(name) == "file" else []


def _parts(name: str) -> list[str]:
    path = name.replace("\\", "/").split("://", 1)[-1]
    return [part for part in path.split("/") if part not in ("", ".", "..")]


def _common_end(address: list[str], parts: list[str]) -> int:
    address, parts = [*address[:-1], "*"], [*parts[:-1], "*"]  # the last ones fit, maybe without the suffix
    return next(
        (n for n, (a, b) in enumerate(zip(reversed(address), reversed(parts), strict=False)) if a != b),
        min(len(address), len(parts)),
    )


def _common_start(folder: list[str], home: list[str]) -> int:
    return next(
        (n for n, (a, b) in enumerate(zip(folder, home, strict=False)) if a != b), min(len(folder), len(home))
    )


def _longest(addresses: list[str], length: Callable[[str], int]) -> list[str]:
    most = max(length(address) for address in addresses)
    return [address for address in addresses if length(address) == most]
