"""Two datasets compared image by image: what only one has, and which columns of a row differ.

Rows are the same when all but `provenance` is equal, confidences, signals and objectness within
1e-4. Embedded pixels are not compared: `image_id` is their hash.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.row_index import RowIndex
from schemas.images import ImageRow

TOLERANCE = 1e-4


@dataclass
class Difference:
    """Image ids in one dataset only, and the columns that differ by image id; `equal` counts the rest."""

    only_a: list[str] = field(default_factory=list)
    only_b: list[str] = field(default_factory=list)
    changed: dict[str, list[str]] = field(default_factory=dict)
    equal: int = 0

    @property
    def is_empty(self) -> bool:
        return not (self.only_a or self.only_b or self.changed)


def compare_datasets(address_a: str, address_b: str) -> Difference:
    """What differs between two finished datasets; the order of rows does not matter."""
    dataset_a, index_b = open_dataset(address_a), RowIndex(open_dataset(address_b))
    found, seen = Difference(), set()
    for row in dataset_a.rows():
        seen.add(row.image_id)
        other = index_b.row(row.image_id)
        if other is None:
            found.only_a.append(row.image_id)
        elif columns := differing_columns(row, other):
            found.changed[row.image_id] = columns
        else:
            found.equal += 1
    found.only_b = [image_id for image_id in index_b.ids() if image_id not in seen]
    return found


def differing_columns(row: ImageRow, other: ImageRow) -> list[str]:
    """The columns in which two rows differ, `provenance` aside, and whether pixels are embedded."""
    one, two = (some.model_dump(exclude={"provenance": True, "image": {"bytes"}}) for some in (row, other))
    return [name for name in one if not _is_same(one[name], two[name])]


def _is_same(one: Any, two: Any) -> bool:
    if isinstance(one, float) and isinstance(two, float):
        return math.isclose(one, two, rel_tol=0, abs_tol=TOLERANCE) or one == two
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(_is_same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(two, list | tuple):
        return len(one) == len(two) and all(map(_is_same, one, two))
    return bool(one == two)
