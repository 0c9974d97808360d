"""The accepted labels of a batch of rows, as columns: the rows that `dataset publish --only accepted` writes.

A label is kept if it is accepted, or unreviewed and those are asked for. Boxes always stay; the text column
of a region is that of a kept label or null; decisions are the strictest of the kept labels. A row that says
nothing is left out. Which captions of images stay is stated in `publish`.
"""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fo1_data.dataset.arrow_columns import (
    array_to_numpy,
    filtered_items,
    numpy_to_array,
    to_array,
    to_scalar,
    with_items,
    with_members,
)
from fo1_data.dataset.items import Items, Rows
from fo1_data.dataset.label_columns import LabelColumns, Mask, Places
from schemas.labels import Decision, LabelKind
from schemas.regions import TEXT_COLUMNS

_NO_TEXT = to_scalar(None, pa.string())
_EMPTY = to_scalar("", pa.string())


def accepted_rows(batch: pa.RecordBatch, model_captions: bool, include_unreviewed: bool) -> pa.RecordBatch:
    """The rows of a batch of regular rows that say something, with their accepted labels alone.

    model_captions: whether a model was asked for captions of whole images.
    """
    labels = LabelColumns(batch, corpus_too=True)
    keep = np.where(labels.is_unreviewed, include_unreviewed, labels.is_accepted)
    of_regions, of_groundings, of_counts, of_answers = labels.by_part(keep)
    strictness = labels.places_of("decision", tuple(Decision))
    row = Items.of(batch)
    columns = {
        "regions": _kept_regions(
            batch["regions"], row["regions"].each, of_regions, labels.by_part(strictness)[0]
        ),
        "groundings": filtered_items(batch["groundings"], of_groundings),
        "counts": filtered_items(batch["counts"], of_counts),
        "answers": filtered_items(batch["answers"], of_answers),
        "decision": _words(_strictest(labels.rows[keep], strictness[keep], batch.num_rows), tuple(Decision)),
    }
    captions = batch["caption"]
    is_said = _keeps_caption(row, of_groundings, model_captions, batch.num_rows)
    columns["caption"] = _null_unless(is_said, captions)
    for name, values in columns.items():
        place = batch.schema.get_field_index(name)
        batch = batch.set_column(place, batch.schema.field(place), values)
    has_caption = array_to_numpy(pc.fill_null(pc.not_equal(captions, _EMPTY), to_scalar(False, pa.bool_())))
    by_person = array_to_numpy(batch["caption_label"].is_valid())
    says = (labels.num_by_row(keep) > 0) | (has_caption & by_person)
    return batch.filter(numpy_to_array(says))


def _kept_regions(regions: pa.ListArray, each: Items, keep: Mask, strictness: Places) -> pa.ListArray:
    """The regions with the labels at which `keep`, (labels of regions,), is true."""
    lists = each["labels"]
    owners = lists.owners[keep]
    kinds = lists.each["kind"].values.filter(numpy_to_array(keep))
    members = {
        "labels": filtered_items(lists.values, keep),
        "decision": _words(_strictest(owners, strictness[keep], len(each)), tuple(Decision)),
    }
    for kind, column in TEXT_COLUMNS.items():
        is_kind = array_to_numpy(pc.equal(kinds, to_scalar(kind.value, pa.string())))
        has_kind = np.bincount(owners[is_kind], minlength=len(each)) > 0
        members[column] = _null_unless(has_kind, each[column].values)
    return with_items(regions, with_members(each.values, members))


def _keeps_caption(row: Items, keep: Mask, model_captions: bool, num_rows: int) -> Mask:
    """(rows,) whether the caption of an image stays. `keep`: (groundings,)."""
    groundings = row["groundings"].each
    word = to_scalar(LabelKind.GROUNDED_CAPTION.value, pa.string())
    is_grounded = array_to_numpy(pc.equal(groundings["kind"].values, word))
    num_grounded = np.bincount(groundings.rows[is_grounded], minlength=num_rows)
    num_dropped = np.bincount(groundings.rows[is_grounded & ~keep], minlength=num_rows)
    by_person = array_to_numpy(row["caption_label"].values.is_valid())
    stays: Mask = by_person | np.where(num_grounded > 0, num_dropped == 0, not model_captions)
    return stays


def _strictest(owners: Rows, strictness: Places, num_owners: int) -> Places:
    """(owners,) the largest of the places of each owner; -1 without any."""
    strictest = np.full(num_owners, -1)
    np.maximum.at(strictest, owners, strictness)
    return strictest


def _words(places: Places, words: Sequence[StrEnum]) -> pa.StringArray:
    """The words at these places; null for -1."""
    every = to_array([*(word.value for word in words), None], pa.string())
    return every.take(numpy_to_array(np.where(places < 0, len(words), places)))


def _null_unless(mask: Mask, texts: pa.StringArray) -> pa.StringArray:
    return pc.if_else(numpy_to_array(mask), texts, _NO_TEXT)
