"""A corpus as it is made for a fuzzing input: files with marks in their annotations, by which each is found.

A mark is a text that occurs nowhere else. `put`: of each annotation in the (changed) files its marks, and the
record that holds it.
"""

import io
import json
import random
import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from odd_values import change, num_changes, texts_in

IMAGE_NAMES = ("a.png", "b.jpg", "sub/c.png", "A b.png", "\u00e9.webp", "no-suffix")
SHAPE_KEYS = {"x", "y", "points", "rle"}
_MARK = re.compile(r"zq\d+qz")


class Put(NamedTuple):
    """An annotation: the record that is refused as a whole with it, and its marks.

    is_kept_whole: all of its marks must be listed; else one of them says that it is.
    """

    record: str
    marks: frozenset[str]
    is_kept_whole: bool = False

    def is_missing(self, listed: set[str]) -> bool:
        """Whether it is not among the marks that are listed."""
        if self.is_kept_whole:
            return bool(self.marks - listed)
        return bool(self.marks) and not self.marks & listed


@dataclass
class Made:
    """files: by name. corpus: the file to list; "": the folder. put: what they say.

    lines: where annotations have no text: how many there are at least, of different ones. is_damaged: bytes
    of the files were changed, so that it is not known what they say.
    """

    files: dict[str, bytes]
    corpus: str = ""
    put: list["Put"] = field(default_factory=list)
    lines: int = 0
    is_damaged: bool = False

    def names_images(self) -> bool:
        """Whether a file names an image with its suffix: else nobody can know what it is about."""
        return any(re.search(rb"\w\.(?:png|jpg|webp)\\b", data) for data in self.files.values())


class Marks:
    """Gives each annotation a mark of its own."""

    def __init__(self) -> None:
        self._num = 0

    def next(self) -> str:
        self._num += 1
        return f"zq{self._num}qz"


def marks_in(values: Iterable[Any]) -> frozenset[str]:
    """The marks in documents, in whatever texts."""
    return frozenset(mark for value in values for text in texts_in(value) for mark in _MARK.findall(text))


def some_images(chance: random.Random) -> list[str]:
    """Names of one to four images."""
    return chance.sample(IMAGE_NAMES, chance.randint(1, 4))


def image_files(names: Iterable[str], chance: random.Random) -> dict[str, bytes]:
    """Files of these names, which nobody opens; now and then one is missing."""
    return {name: b"not opened" for name in names if chance.random() > 0.05}


def a_box(chance: random.Random) -> tuple[int, int, int, int]:
    """x, y, width, height in an image of 100 x 80."""
    x, y = chance.randint(0, 80), chance.randint(0, 60)
    return x, y, chance.randint(1, 100 - x), chance.randint(1, 80 - y)


def json_bytes(document: Any, chance: random.Random) -> tuple[bytes, bool]:
    """JSON as some program writes it, and whether the bytes were damaged."""
    text = json.dumps(
        document, ensure_ascii=chance.random() < 0.7, indent=chance.choice((None, None, 2)), default=str
    )
    return damaged(text, chance)


def damaged(text: str, chance: random.Random) -> tuple[bytes, bool]:
    """A text as bytes: mostly UTF-8, sometimes with a BOM, cut off, in another encoding, with odd bytes."""
    data = text.encode("utf-8", "surrogatepass")
    way = chance.randrange(40)
    if way == 0:
        return b"\xef\xbb\xbf" + data, False
    if way == 1:
        return text.encode("utf-16", "surrogatepass"), True
    if way == 2:
        return text.encode("latin-1", "replace"), True
    if way == 3:
        return data[: chance.randrange(len(data) + 1)], True
    if way == 4:
        place = chance.randrange(len(data) + 1)
        return data[:place] + bytes(chance.randrange(256) for _ in range(3)) + data[place:], True
    return data, False


def lines_bytes(records: Iterable[Any], chance: random.Random) -> tuple[bytes, bool]:
    """JSON lines, and whether the bytes were damaged."""
    text = "\n".join(json.dumps(record, default=str) for record in records)
    return damaged(text + "\n", chance)


def changed_document(document: Any, chance: random.Random) -> Any:
    """The document, changed in place."""
    change(document, chance, num_changes(chance))
    return document


def put_at(document: Any, *keys: str, record: str = "") -> Iterator[Put]:
    """What the lists (or objects) at a path of keys hold; `*` is any key or place.

    What stands below the first `*` is of one record, if more keys follow. `?`: only what has a shape.
    """
    if keys[:1] == ("?",):
        keys = () if isinstance(document, dict) and SHAPE_KEYS & document.keys() else ("?", "?")
    if not keys:
        yield Put(record, marks_in([document]))
    elif keys[0] == "*":
        if isinstance(document, dict | list):
            parts = document.items() if isinstance(document, dict) else enumerate(document)
            for key, part in parts:
                yield from put_at(part, *keys[1:], record=record or (str(key) if keys[1:] else ""))
    elif isinstance(document, dict) and keys[0] in document:
        yield from put_at(document[keys[0]], *keys[1:], record=record)


def _without_boxes(value: Any) -> Any:
    """The value without what stands in place of numbers of a box: of that no text is kept."""
    if isinstance(value, dict):
        return {key: _without_boxes(part) for key, part in value.items() if key not in ("bbox", "box_xyxy")}
    return [_without_boxes(part) for part in value] if isinstance(value, list) else value


def put_in_records(records: Iterable[Any]) -> list[Put]:
    """What records of images say: each field, and of lists each item, is an annotation."""
    put = []
    for number, record in enumerate(records):
        for value in _without_boxes(record).values() if isinstance(record, dict) else ():
            parts = value if isinstance(value, list) else [value]
            put += [Put(str(number), marks_in([part]), True) for part in parts]
    return put


def tar_bytes(members: Iterable[tuple[str, bytes]]) -> bytes:
    """A tar of these members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def write_files(made: Made, folder: Path) -> Path:
    """Write the files and return the corpus."""
    for name, data in made.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder / made.corpus if made.corpus else folder
