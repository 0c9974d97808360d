"""Open Images: CSV files of boxes (a line each, shares of the image's size) and of class names.

A line names its image by `ImageID`, the file name without suffix. Class names (`/m/01g317,Person`) are taken
from the other CSV files of the folder. Lines of the same image follow each other, as in the published files;
if they do not, they are united.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from fo1_data.corpus.forms.annotated_image import AnnotatedImage, items_of_image
from fo1_data.corpus.forms.image_lookup import ImageLookup
from fo1_data.corpus.forms.shapes import BoxXyxy, numbers
from fo1_data.corpus.listing import Item

CSV_COLUMNS = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax")
_FLAGS = ("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside")


def is_class_list(name: str, first_line: str) -> bool:
    """Whether a CSV file lists class names, by its name and first line."""
    is_named_so = "class-descriptions" in name or name == "classes.csv"
    is_header = first_line == "LabelName,DisplayName"
    is_pair = len(fields_of_line(first_line)) == 2
    return is_header or (is_pair and (is_named_so or first_line.startswith(("/m/", "/g/", "/t/"))))


def fields_of_line(line: str) -> list[str]:
    """The fields of one line of CSV; none if it is no CSV."""
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return []


def is_image_list(columns: Sequence[str]) -> bool:
    """Whether a CSV file only lists images, with their addresses and turns."""
    return {"ImageID", "OriginalURL"} <= set(columns) and "LabelName" not in columns


def parse_class_list(lines: Iterable[str]) -> dict[str, str]:
    """Class names by id."""
    return {row[0]: row[1] for row in csv.reader(lines) if len(row) == 2}


def read_open_images(
    lines: Iterable[str], address: str, classes: Mapping[str, str], lookup: ImageLookup
) -> Iterator[Item]:
    """The images of a file of boxes, in its order."""
    rows = csv.DictReader(lines)
    for image_id, group in groupby(rows, key=lambda row: row.get("ImageID") or ""):
        image = AnnotatedImage(f"{address}#{image_id}", [image_id], id=image_id, unit="share", regions=[])
        count = 0
        for row in group:
            count += 1
            label = row.get("LabelName") or ""
            meta: dict[str, Any] = {name: True for name in _FLAGS if row.get(name) == "1"}
            image.add_shape(_box(row), "a line", {"label": classes.get(label, label) or None}, meta)
        yield from items_of_image(address, image, lookup, count)


def _box(row: Mapping[str, Any]) -> BoxXyxy | None:
    corners = numbers(row.get(name) for name in ("XMin", "YMin", "XMax", "YMax"))
    return (corners[0], corners[1], corners[2], corners[3]) if corners else None
