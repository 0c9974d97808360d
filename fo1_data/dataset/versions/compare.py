"""Two datasets compared image by image: images that only one has, and the columns that differ.

Rows are equal if all columns but `provenance` are, with confidences, signals and objectness within 1e-4.
Embedded pixels are not compared: `image_id` is their hash.
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
    """Image ids in one dataset only, and the columns that differ by image id; `equal` counts the rest.

    `regions`: of an image whose regions differ, the ids that were `added`, `removed` and `relabelled`.
    `merged`: `merged` of the second dataset's manifest.
    """

    only_a: list[str] = field(default_factory=list)
    only_b: list[str] = field(default_factory=list)
    changed: dict[str, list[str]] = field(default_factory=dict)
    equal: int = 0
    regions: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    merged: dict[str, int] | None = None

    @property
    def is_empty(self) -> bool:
        return not (self.only_a or self.only_b or self.changed)


def compare_datasets(address_a: str, address_b: str) -> Difference:
    """The difference between two finished datasets; the order of rows does not matter."""
    dataset_a, dataset_b = open_dataset(address_a), open_dataset(address_b)
    index_b = RowIndex(dataset_b)
    difference, seen = Difference(merged=dataset_b.manifest.merged), set()
    for row in dataset_a.rows():
        seen.add(row.image_id)
        other = index_b.row(row.image_id)
        if other is None:
            difference.only_a.append(row.image_id)
        elif columns := differing_columns(row, other):
            difference.changed[row.image_id] = columns
            if "regions" in columns:
                difference.regions[row.image_id] = region_changes(row, other)
        else:
            difference.equal += 1
    difference.only_b = [image_id for image_id in index_b.ids() if image_id not in seen]
    return difference


def differing_columns(row: ImageRow, other: ImageRow) -> list[str]:
    """The columns in which two rows differ; `provenance` and embedded pixels are not compared."""
    first, second = (
        some.model_dump(exclude={"provenance": True, "image": {"bytes"}}) for some in (row, other)
    )
    return [name for name in first if not _is_same(first[name], second[name])]


def region_changes(row: ImageRow, other: ImageRow) -> dict[str, list[str]]:
    """Ids of regions that only `other` has, that only `row` has, and that differ in more than their index."""
    first, second = ({region.region_id: region for region in some.regions} for some in (row, other))
    kept = [name for name in first if name in second]
    return {
        "added": [name for name in second if name not in first],
        "removed": [name for name in first if name not in second],
        "relabelled": [
            name
            for name in kept
            if not _is_same(*(side[name].model_dump(exclude={"index"}) for side in (first, second)))
        ],
    }


def _is_same(first: Any, second: Any) -> bool:
    if isinstance(first, float) and isinstance(second, float):
        return math.isclose(first, second, rel_tol=0, abs_tol=TOLERANCE) or first == second
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_is_same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(_is_same, first, second))
    return bool(first == second)
