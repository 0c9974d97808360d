"""The names of the classes of boxes that are known by number: where YOLO keeps them, and what has none.

A class without a name has its number as the label, and a note says so.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from fo1_data.corpus.listing import Item, Note, Piece
from fo1_data.corpus.places import kind_of
from fo1_data.plurals import counted
from fo1_data.storage.addresses import join, parent
from fo1_data.storage.streams import read_whole

YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
CLASS_FILES = ("classes.txt", "obj.names", "labels.txt")
_MOST_CLASSES = 5


class NamelessClasses:
    """Counts the boxes of one source whose class has no name."""

    def __init__(self) -> None:
        self._boxes: Counter[str] = Counter()

    def meet(self, label: str) -> None:
        """Count a box that is labelled with the number of its class."""
        self._boxes[label] += 1

    def watched(self, items: Iterable[Item], names: Mapping[int, str]) -> Iterator[Item]:
        """The items as they are; boxes whose label is none of `names` are counted."""
        known = set(names.values())
        for item in items:
            if isinstance(item, Piece):
                for region in item.entry.regions or ():
                    if region.label is not None and region.label not in known:
                        self.meet(region.label)
            yield item

    def messages(self) -> Iterator[str]:
        """One line if there are such boxes, with their classes, the most frequent first."""
        if not self._boxes:
            return
        classes = [label for label, _ in self._boxes.most_common(_MOST_CLASSES)]
        more = len(self._boxes) - len(classes)
        named = ", ".join(classes) + (f" and {more} more" if more else "")
        boxes = counted(self._boxes.total(), "box has", "boxes have")
        noun = "class" if len(self._boxes) == 1 else "classes"
        yield f"{boxes} a class without a name (the {noun} {named}): the number is the label"

    def notes(self, source: str) -> Iterator[Note]:
        """The note of a source that was read."""
        yield from (Note(source, message) for message in self.messages())


def names_of(value: Any) -> dict[int, str]:
    """The names by number that a YAML file lists, as a list or by number."""
    if isinstance(value, list):
        return {index: str(name) for index, name in enumerate(value)}
    if isinstance(value, dict):
        return {int(index): str(name) for index, name in value.items() if str(index).isdigit()}
    return {}


def class_file(folder: str) -> dict[int, str]:
    """The names by number in the class file of a folder, of its `labels/`, or above it."""
    places = (folder, join(folder, "labels"), parent(folder))
    return next((names for place in places if (names := _class_file_in(place))), {})


def _class_file_in(folder: str) -> dict[int, str]:
    for name in CLASS_FILES:
        address = join(folder, name)
        if kind_of(address) == "file":
            lines = read_whole(address).decode("utf-8", "replace").splitlines()
            return {index: line.strip() for index, line in enumerate(lines) if line.strip()}
    return {}


def class_names_of(label_file: str, top: str) -> tuple[dict[int, str], bool]:
    """The names of the classes of a label file, from the nearest folder up to `top` that has them.

    And whether its YAML file says that labels have key points.
    """
    folder = parent(label_file)
    while folder.startswith(top):
        for name in YAML_NAMES:
            if kind_of(join(folder, name)) == "file":
                return _names_of_yaml(join(folder, name))
        names = _class_file_in(folder)
        if names or parent(folder) == folder:
            return names, False
        folder = parent(folder)
    return {}, False


def _names_of_yaml(address: str) -> tuple[dict[int, str], bool]:
    try:
        document = yaml.safe_load(read_whole(address))
    except (yaml.YAMLError, UnicodeError, RecursionError):
        return {}, False
    document = document if isinstance(document, dict) else {}
    return names_of(document.get("names")), "kpt_shape" in document
