"""The names of images in an export: those they had, below the folder that all of them have in common.

`/data/birds/a/x.png` and `/data/birds/b/x.png` become `a/x.png` and `b/x.png`. If two images would meet under
one name (suffixes and upper case aside, since label files share the stem), the later one gets the start of
its id behind the stem.
"""

import re
from collections.abc import Iterable

from fo1_data.dataset.reader import Dataset, column_values
from fo1_data.storage.addresses import is_web
from schemas.images import ImageRow

_REFUSED = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|#%]')
_MOST_CHARACTERS = 100
_ID_CHARACTERS = 8


class ImageNames:
    """Names for the images of one export. Every image is named once per folder of the export."""

    def __init__(self, uris: Iterable[str]) -> None:
        self._common = _common_folder(uris)
        self._taken: set[str] = set()

    def original(self, row: ImageRow) -> str:
        """The address of an image below the common folder, as it is."""
        return "/".join(_parts(row.uri)[len(self._common) :])

    def stem(self, row: ImageRow, folder: str) -> str:
        """The path of an image in the export below `folder`, without a suffix; no other image has it."""
        parts = [_safe(part) for part in _parts(row.uri)[len(self._common) :]]
        name, dot, suffix = parts[-1].rpartition(".")
        parts[-1] = name if dot and name and suffix.isalnum() else parts[-1]
        path = "/".join(part[:_MOST_CHARACTERS] for part in parts)
        if f"{folder}/{path}".casefold() in self._taken:
            path = f"{path}-{row.image_id[:_ID_CHARACTERS]}"
        self._taken.add(f"{folder}/{path}".casefold())
        return path


def names_of(dataset: Dataset) -> ImageNames:
    """The names for an export of all images of a dataset."""
    values = column_values(dataset.store, dataset.manifest, ["uri"])
    return ImageNames(str(record["uri"]) for record in values)


def _common_folder(uris: Iterable[str]) -> list[str]:
    common: list[str] | None = None
    for uri in uris:
        folder = _parts(uri)[:-1]
        if common is None:
            common = folder
        same = 0
        while same < min(len(common), len(folder)) and common[same] == folder[same]:
            same += 1
        common = common[:same]
    return common or []


def _parts(uri: str) -> list[str]:
    """The parts of an address; members of an archive lie in it as in a folder."""
    address = uri.partition("?")[0] if is_web(uri) else uri
    parts = [part for part in address.replace("::", "/").split("/") if part not in ("", ".")]
    return parts or ["image"]


def _safe(part: str) -> str:
    """A part of a path that every file system takes, and that no label reader takes for its own folder."""
    part = _REFUSED.sub("_", part).rstrip(" .") or "_"
    return f"{part}_" if part.casefold() in ("images", "labels") else part
