"""Checks of the sense of rows, one for each finding of `row_problems`, over whole columns.

A check returns the rows of a batch that fail it. It may name a sound row, never miss a senseless one:
`row_problems` reads the few rows that are found and says what is wrong with them.
"""

import hashlib
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fo1_data.dataset.arrow_columns import array_to_numpy, numpy_to_array, to_array, to_scalar
from fo1_data.dataset.items import Items, Rows, labels_of
from fo1_data.dataset.row_form import irregular_rows
from fo1_data.dataset.row_problems import BORDER_PX
from schemas.labels import Decision
from schemas.regions import is_id_of_box

_SHA256 = r"\A[0-9a-f]{64}\z"
_DECISIONS = to_array([decision.value for decision in Decision], pa.string())
# No image is as large as this: a box with such a coordinate lies outside.
_MOST_PX = 2.0**40
_SLASH, _DASH = to_array(["/", "-"], pa.string())
_UNROUTED = to_scalar(-1, pa.int32())


def doubtful_rows(batch: pa.RecordBatch, split: str) -> npt.NDArray[np.bool_]:
    """True (N,) for every row of a file of `split` that has a problem or is broken, and hardly any other.

    `batch`: with the columns of its schema version (`has_columns_of_rows`).
    """
    doubtful = irregular_rows(batch)
    places = np.flatnonzero(~doubtful)
    row = Items.of(batch if len(places) == len(doubtful) else batch.take(numpy_to_array(places)))
    doubtful[
        places[row["split"].rows_unless(pc.equal(row["split"].values, to_scalar(split, pa.string())))]
    ] = True
    for check in CHECKS.values():
        doubtful[places[check(row)]] = True
    return doubtful


def _hash_form(row: Items) -> Rows:
    return row["image_id"].rows_unless(pc.match_substring_regex(row["image_id"].values, _SHA256))


def _embedded_bytes(row: Items) -> Rows:
    pixels = row["image"]["bytes"].present
    image_ids = row["image_id"].at(pixels.rows).to_pylist()
    digests = [hashlib.sha256(data.as_buffer()).hexdigest() for data in pixels.values]
    return pixels.rows_unless(np.array(digests) == np.array(image_ids))


def _first_uri(row: Items) -> Rows:
    uris = row["uris"].each
    first = np.diff(uris.rows, prepend=-1) > 0
    is_uri = pc.equal(uris.values.filter(numpy_to_array(first)), row["uri"].at(uris.rows[first]))
    return np.setdiff1d(row.rows, uris.rows[first][array_to_numpy(is_uri)])


def _frame(row: Items) -> Rows:
    orientation = row["orientation"].numpy()
    has_size = (row["width"].numpy() >= 1) & (row["height"].numpy() >= 1)
    return row.rows_unless(has_size & (orientation >= 1) & (orientation <= 8))


def _region_index(row: Items) -> Rows:
    regions = row["regions"].each
    starts = np.searchsorted(regions.rows, regions.rows)
    return regions.rows_unless(regions["index"].numpy() == np.arange(len(regions)) - starts)


def _boxes(regions: Items) -> npt.NDArray[np.float64]:
    """The boxes (N, 4), x_min y_min x_max y_max, in pixels."""
    return regions["box_xyxy"].each.numpy().reshape(-1, 4).astype(np.float64)


def _finite_box(row: Items) -> Rows:
    regions = row["regions"].each
    return regions.rows_unless(np.isfinite(_boxes(regions)).all(axis=1))


def _box_area(row: Items) -> Rows:
    regions = row["regions"].each
    boxes = _boxes(regions)
    return regions.rows_unless((boxes[:, :2] < boxes[:, 2:]).all(axis=1))


def _box_inside(row: Items) -> Rows:
    regions = row["regions"].each
    boxes = _boxes(regions)
    image_wh = np.stack([row["width"].numpy(), row["height"].numpy()], axis=1)[regions.rows]
    inside = (boxes[:, :2] >= -BORDER_PX) & (boxes[:, 2:] <= image_wh + BORDER_PX)
    return regions.rows_unless(inside.all(axis=1))


def _region_id(row: Items) -> Rows:
    """Ids other than `make_region_id`'s may still be right: equal boxes have a number behind it."""
    regions = row["regions"].each
    boxes = np.nan_to_num(np.clip(_boxes(regions), -_MOST_PX, _MOST_PX))
    tenths = np.rint(boxes * 10).astype(np.int64)
    corners = [pc.cast(numpy_to_array(column), pa.string()) for column in tenths.T]
    image_ids = row["image_id"].at(regions.rows)
    starts = pc.utf8_slice_codeunits(image_ids, 0, 16)
    ids = pc.binary_join_element_wise(starts, pc.binary_join_element_wise(*corners, _DASH), _SLASH)
    other = pc.not_equal(regions["region_id"].values, ids)
    numbered = regions.where(other)
    region_ids, image_ids = numbered["region_id"].values.to_pylist(), image_ids.filter(other).to_pylist()
    places = np.flatnonzero(array_to_numpy(other))
    is_right = map(is_id_of_box, region_ids, image_ids, boxes[places].tolist())
    return numbered.rows_unless(np.fromiter(is_right, bool))


def _mask_size(row: Items) -> Rows:
    regions = row["regions"].each
    if "mask_rle" not in regions:
        return row.rows[:0]
    masks = regions["mask_rle"].present
    has_two = pc.equal(masks["size"].values.value_lengths(), to_scalar(2, pa.int32()))
    sized = masks.where(has_two)
    sizes_hw = sized["size"].each.numpy().reshape(-1, 2)
    image_hw = np.stack([row["height"].numpy(), row["width"].numpy()], axis=1)[sized.rows]
    return np.concatenate([masks.rows_unless(has_two), sized.rows_unless((sizes_hw == image_hw).all(axis=1))])


def _objectness(row: Items) -> Rows:
    return _outside_0_and_1(row["regions"].each["objectness"])


def _confidence(row: Items) -> Rows:
    return np.concatenate([_outside_0_and_1(labels["confidence"]) for labels in labels_of(row)])


def _outside_0_and_1(numbers: Items) -> Rows:
    present = numbers.present
    values = present.numpy()
    return present.rows_unless((values >= 0) & (values <= 1))


def _signals(row: Items) -> Rows:
    signals = [labels["signals"].each for labels in labels_of(row)]
    return np.concatenate([some.rows_unless(pc.is_finite(some["value"].values)) for some in signals])


def _strictness(decisions: Items) -> npt.NDArray[np.int32]:
    """The place of each decision among all, -1 for null."""
    places = pc.index_in(decisions.values, value_set=_DECISIONS)
    return array_to_numpy(pc.fill_null(places, _UNROUTED))


def _region_decision(row: Items) -> Rows:
    regions = row["regions"].each
    strictest = np.full(len(regions), -1)
    np.maximum.at(strictest, regions["labels"].owners, _strictness(regions["labels"].each["decision"]))
    return regions.rows_unless(_strictness(regions["decision"]) == strictest)


def _row_decision(row: Items) -> Rows:
    strictest = np.full(len(row), -1)
    for labels in labels_of(row):
        np.maximum.at(strictest, labels.rows, _strictness(labels["decision"]))
    return row.rows_unless(_strictness(row["decision"]) == strictest)


def _references(row: Items) -> Rows:
    """Regular rows have no two equal ids in a batch, so an id's place among all ids tells its row."""
    regions = row["regions"].each
    return np.concatenate([_dangling(named, regions) for named in _named_regions(row)])


def _named_regions(row: Items) -> Iterator[Items]:
    yield row["groundings"].each["region_ids"].each
    yield row["counts"].each["region_ids"].each
    yield row["answers"].each["region_id"].present


def _dangling(named: Items, regions: Items) -> Rows:
    places = pc.index_in(named.values, value_set=regions["region_id"].values)
    found = np.flatnonzero(array_to_numpy(places.is_valid()))
    right = found[regions.rows[array_to_numpy(places.drop_null())] == named.rows[found]]
    return np.delete(named.rows, right)


CHECKS: dict[str, Callable[[Items], Rows]] = {
    "image_id is no SHA-256": _hash_form,
    "the embedded bytes are not those of image_id": _embedded_bytes,
    "uri is not the first of uris": _first_uri,
    "no frame": _frame,
    "its index is another": _region_index,
    "box is not finite": _finite_box,
    "box has no area": _box_area,
    "box lies outside its image": _box_inside,
    "region_id is not that of its image and box": _region_id,
    "objectness is not within 0 and 1": _objectness,
    "mask is not of the image's size": _mask_size,
    "decision is not the strictest of its labels": _region_decision,
    "names a region that the row does not have": _references,
    "confidence is not within 0 and 1": _confidence,
    "signal is not finite": _signals,
    "decision is not the strictest of its parts": _row_decision,
}
