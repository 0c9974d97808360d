"""Two datasets compared image by image: images that only one has, and the columns that differ.

Rows are equal if all columns but `provenance` are, with confidences, signals and objectness within 1e-4.
Embedded pixels are not compared: `image_id` is their hash.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from fo1_data.dataset.arrow_columns import numpy_to_array
from fo1_data.dataset.reader import image_ids_of, open_dataset
from fo1_data.dataset.row_batches import read_batches
from fo1_data.dataset.row_index import COLUMNS, RowIndex
from fo1_data.dataset.rows import table_to_rows
from fo1_data.dataset.versions.compare_tracks import TableDifference, compare_tables
from fo1_data.dataset.versions.equal_rows import TOLERANCE, differing_rows
from schemas.images import ImageRow
from schemas.regions import Region


@dataclass
class Difference:
    """Image ids in one dataset only, and the columns that differ by image id; `equal` counts the rest.

    `files`: the addresses of the images that are not equal, by image id. `changes`: what differs in an image
    that both have, in words. `regions`: of an image whose regions differ, the ids that were `added`,
    `removed` and `relabelled`. `merged`: `merged` of the second dataset's manifest. `videos`, `tracks`: the
    differences of these tables.
    """

    only_a: list[str] = field(default_factory=list)
    only_b: list[str] = field(default_factory=list)
    changed: dict[str, list[str]] = field(default_factory=dict)
    equal: int = 0
    regions: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    merged: dict[str, int] | None = None
    files: dict[str, str] = field(default_factory=dict)
    changes: dict[str, list[str]] = field(default_factory=dict)
    videos: TableDifference = field(default_factory=TableDifference)
    tracks: TableDifference = field(default_factory=TableDifference)

    @property
    def is_empty(self) -> bool:
        rows_differ = bool(self.only_a or self.only_b or self.changed)
        return not rows_differ and self.videos.is_empty and self.tracks.is_empty


def compare_datasets(address_a: str, address_b: str) -> Difference:
    """The difference between two finished datasets; the order of rows and tracks does not matter."""
    dataset_a, dataset_b = open_dataset(address_a), open_dataset(address_b)
    index_b = RowIndex(dataset_b)
    difference, seen = Difference(merged=dataset_b.manifest.merged), set[str]()
    shared = {file.sha256: file.path for file in dataset_b.data_files()}
    for file in dataset_a.data_files():
        image_ids = list(image_ids_of(dataset_a.store, file))
        seen.update(image_ids)
        # Equal bytes, as the manifests say, and the rows that the second dataset has of these images.
        if file.sha256 in shared and {*map(index_b.path, image_ids)} == {shared[file.sha256]}:
            difference.equal += len(image_ids)
            continue
        for batch in read_batches(dataset_a.store, file.path, columns=COLUMNS):
            _compare_batch(batch, index_b, difference)
    difference.only_b = [image_id for image_id in index_b.ids() if image_id not in seen]
    for image_id in difference.only_b:
        added = index_b.row(image_id)
        difference.files[image_id] = added.uri if added is not None else image_id
    difference.videos, difference.tracks = compare_tables(dataset_a, dataset_b, _is_same)
    return difference


def _compare_batch(batch: pa.RecordBatch, index_b: RowIndex, difference: Difference) -> None:
    """Add what differs between the rows of a batch and those of the second dataset.

    Rows with equal columns are not read as records.
    """
    image_ids = batch["image_id"].to_pylist()
    in_both = np.array([index_b.path(image_id) is not None for image_id in image_ids], bool)
    unequal = ~in_both
    if in_both.any():
        common = batch.filter(numpy_to_array(in_both))
        unequal[in_both] = differing_rows(common, index_b.batch(common["image_id"].to_pylist()))
    difference.equal += int((~unequal).sum())
    for row in table_to_rows(batch.filter(numpy_to_array(unequal))):
        _compare_row(row, index_b.row(row.image_id), difference)


def _compare_row(row: ImageRow, other: ImageRow | None, difference: Difference) -> None:
    if other is None:
        difference.only_a.append(row.image_id)
        difference.files[row.image_id] = row.uri
    elif columns := differing_columns(row, other):
        difference.changed[row.image_id] = columns
        difference.files[row.image_id] = row.uri
        difference.changes[row.image_id] = describe_changes(row, other, columns)
        if "regions" in columns:
            difference.regions[row.image_id] = region_changes(row, other)
    else:
        difference.equal += 1


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


def describe_changes(row: ImageRow, other: ImageRow, columns: Sequence[str]) -> list[str]:
    """What differs between two rows of an image, in words: captions and boxes, then the names of columns."""
    changes = []
    if "caption" in columns:
        changes.append(f"caption {_quoted(row.caption)} -> {_quoted(other.caption)}")
    if "regions" in columns:
        first, second = ({region.region_id: region for region in some.regions} for some in (row, other))
        by_change = region_changes(row, other)
        changes += [f"box {first[name].index} {_words(first[name])} is gone" for name in by_change["removed"]]
        changes += [f"box {second[name].index} {_words(second[name])} is new" for name in by_change["added"]]
        for name in by_change["relabelled"]:
            changes.append(f"box {second[name].index} {_change(first[name], second[name])}")
    others = [name for name in columns if name not in ("caption", "regions")]
    return changes + ([f"columns {', '.join(others)}"] if others else [])


def _change(region: Region, other: Region) -> str:
    """What differs between two regions of one id, in words."""
    was, now = _words(region), _words(other)
    first, second = (some.model_dump(exclude={"index"}) for some in (region, other))
    differing = {name for name in first if not _is_same(first[name], second[name])}
    mask = "no mask" if other.mask_rle is None else "a mask" if region.mask_rle is None else "another mask"
    told = [mask] if "mask_rle" in differing else []
    if was != now:
        return ", ".join([f"{was} -> {now}", *told])
    told += ["other labels, decisions or scores"] if differing - {"mask_rle"} else []
    return f"{now}: {', '.join(told)}"


def _words(region: Region) -> str:
    """The texts of a region, or its class, or its box."""
    texts = [region.brief_caption, region.detailed_caption, region.text]
    said = [text for text in texts if text] or [region.source_label or str(list(map(round, region.box_xyxy)))]
    return ", ".join(map(_quoted, said))


def _quoted(text: str | None) -> str:
    return "nothing" if text is None else json.dumps(shorten(text), ensure_ascii=False)


def shorten(text: str, most: int = 60) -> str:
    """A text on one line, cut to `most` characters."""
    words = " ".join(text.split())
    return words if len(words) <= most else f"{words[: most - 1].rstrip()}…"


def _is_same(first: Any, second: Any) -> bool:
    if isinstance(first, float) and isinstance(second, float):
        return math.isclose(first, second, rel_tol=0, abs_tol=TOLERANCE) or first == second
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_is_same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(_is_same, first, second))
    return bool(first == second)
