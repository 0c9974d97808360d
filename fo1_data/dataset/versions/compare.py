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
    """Image ids in one dataset only, and the columns that differ by image id; `equal` counts the rest.

    `regions`: of an image whose regions differ, the ids that were `added`, `removed` and `relabelled`.
    `merged`: what the second dataset's manifest says of the corrections merged into it, if anything.
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
    """What differs between two finished datasets; the order of rows does not matter."""
    dataset_a, dataset_b = open_dataset(address_a), open_dataset(address_b)
    index_b = RowIndex(dataset_b)
    found, seen = Difference(merged=dataset_b.manifest.merged), set()
    for row in dataset_a.rows():
        seen.add(row.image_id)
        other = index_b.row(row.image_id)
        if other is None:
            found.only_a.append(row.image_id)
        elif columns := differing_columns(row, other):
            found.changed[row.image_id] = columns
            if "regions" in columns:
                found.regions[row.image_id] = region_changes(row, other)
        else:
            found.equal += 1
    found.only_b = [image_id for image_id in index_b.ids() if image_id not in seen]
    return found


def differing_columns(row: ImageRow, other: ImageRow) -> list[str]:
    """The columns in which two rows differ, `provenance` aside, and whether pixels are embedded."""
    one, two = (some.model_dump(exclude={"provenance": True, "image": {"bytes"}}) for some in (row, other))
    return [name for name in one if not _is_same(one[name], two[name])]


def region_changes(row: ImageRow, other: ImageRow) -> dict[str, list[str]]:
    """Which regions only the other row has, only this one has, and which differ in more than their place."""
    one, two = ({region.region_id: region for region in some.regions} for some in (row, other))
    kept = [name for name in one if name in two]
    return {
        "added": [name for name in two if name not in one],
        "removed": [name for name in one if name not in two],
        "relabelled": [
            name
            for name in kept
            if not _is_same(*(side[name].model_dump(exclude={"index"}) for side in (one, two)))
        ],
    }


def _is_same(one: Any, two: Any) -> bool:
    if isinstance(one, float) and isinstance(two, float):
        return math.isclose(one, two, rel_tol=0, abs_tol=TOLERANCE) or one == two
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(_is_same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(two, list | tuple):
        return len(one) == len(two) and all(map(_is_same, one, two))
    return bool(one == two)
