"""A batch of regular rows scored and decided as columns: no row becomes a Python object.

The result is the batch that `Router.score_rows` and `Router.decide_rows` would make of its rows.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from fo1_data.confidence.open_labels import DECISIONS, OpenLabels, labels_of_batch, open_places
from fo1_data.confidence.routing import Decided, Router
from fo1_data.dataset.arrow_columns import (
    nullable_array,
    numpy_to_array,
    to_array,
    with_items,
    with_members,
)
from fo1_data.dataset.items import Items, labels_of
from fo1_data.dataset.label_columns import LabelColumns, Places
from schemas.parquet import LABEL

Members = dict[str, pa.Array]
_WORDS = to_array([decision.value for decision in DECISIONS], pa.string())


class Routed(NamedTuple):
    """A batch after routing, and whether routing changed a value of it."""

    batch: pa.RecordBatch
    is_changed: bool


class RoutedBatch:
    """A batch with the columns of its labels. `labels`: the open ones, scored if `is_scored_anew`."""

    def __init__(self, batch: pa.RecordBatch, router: Router, *, is_scored_anew: bool = True) -> None:
        self._batch, self._router = batch, router
        self._columns = LabelColumns(batch, corpus_too=True)
        self._places = open_places(self._columns)
        self.labels: OpenLabels = labels_of_batch(batch, self._columns, self._places)
        self._had_confidence = self.labels.confidence.copy()
        if is_scored_anew:
            router.score(self.labels)

    def scored(self) -> Routed:
        """The batch with the new confidences."""
        if np.array_equal(self._had_confidence, self.labels.confidence, equal_nan=True):
            return Routed(self._batch, is_changed=False)
        return Routed(_with_labels(self._batch, {"confidence": self._confidences()}), is_changed=True)

    def decided(self, reviewed: Collection[str] | None = None) -> Routed:
        """The batch with the new confidences and decisions. `reviewed`: as of `Router.decide`."""
        decided = self._router.decide(self.labels, reviewed)
        before = self._columns.places_of("decision", DECISIONS)
        decisions = before.copy()
        decisions[self._places] = decided.decisions
        members = {
            "confidence": self._confidences(),
            "decision": _words(decisions),
            "reasons": self._reasons(decided),
        }
        batch = _with_labels(self._batch, members)
        batch = _with_strictest(batch, self._columns, decisions)
        return Routed(batch, self._differs(batch))

    def _differs(self, batch: pa.RecordBatch) -> bool:
        """Whether routing changed a value of the batch."""
        if not np.array_equal(self._had_confidence, self.labels.confidence, equal_nan=True):
            return True
        pairs = zip(_decided_columns(self._batch), _decided_columns(batch), strict=True)
        return any(not before.equals(after) for before, after in pairs)

    def _confidences(self) -> pa.Array:
        values = self._columns.confidence.copy()
        has_confidence = self._columns.has_confidence.copy()
        values[self._places] = self.labels.confidence
        has_confidence[self._places] = ~np.isnan(self.labels.confidence)
        return nullable_array(values, has_confidence, pa.float32())

    def _reasons(self, decided: Decided) -> pa.Array:
        """The reasons of all labels. New ones stand behind the old, and each label takes its own of both."""
        given = [reasons for reasons in decided.reasons if reasons is not None]
        is_given = np.array([reasons is not None for reasons in decided.reasons], bool)
        before = self._columns.column("reasons")
        sources = np.arange(len(before))
        sources[self._places[is_given]] = len(before) + np.arange(len(given))
        every = pa.concat_arrays([before, to_array(given, LABEL.field("reasons").type)])
        return every.take(numpy_to_array(sources))


def _with_labels(batch: pa.RecordBatch, members: Members) -> pa.RecordBatch:
    """The batch with other members of its labels. `members`: of all labels, part after part."""
    row, start = Items.of(batch), 0
    of_parts = []
    for labels in labels_of(row):
        of_part = {name: values.slice(start, len(labels)) for name, values in members.items()}
        of_parts.append(with_members(labels.values, of_part))
        start += len(labels)
    regions = row["regions"].each
    new_regions = with_members(regions.values, {"labels": with_items(regions["labels"].values, of_parts[0])})
    columns = {"regions": with_items(row["regions"].values, new_regions)}
    for name, labels in zip(("groundings", "counts", "answers"), of_parts[1:], strict=True):
        parts = with_members(row[name].each.values, {"label": labels})
        columns[name] = with_items(row[name].values, parts)
    return _with_columns(batch, columns)


def _with_strictest(batch: pa.RecordBatch, labels: LabelColumns, decisions: Places) -> pa.RecordBatch:
    """The batch with the strictest decision of its labels for each region and each row."""
    row = Items.of(batch)
    regions = row["regions"].each
    owners = regions["labels"].owners
    of_regions = _words(_largest(owners, decisions[: len(owners)], len(regions)))
    new_regions = with_members(regions.values, {"decision": of_regions})
    return _with_columns(
        batch,
        {
            "regions": with_items(row["regions"].values, new_regions),
            "decision": _words(_largest(labels.rows, decisions, batch.num_rows)),
        },
    )


def _largest(owners: Places, values: Places, num: int) -> Places:
    """(num,) the largest value of each owner; -1 without any."""
    largest = np.full(num, -1)
    np.maximum.at(largest, owners, values)
    return largest


def _words(decisions: Places) -> pa.Array:
    """The decisions as texts; null for -1."""
    return _WORDS.take(nullable_array(decisions, decisions >= 0, pa.int64()))


def _with_columns(batch: pa.RecordBatch, columns: Members) -> pa.RecordBatch:
    arrays = [columns.get(field.name, batch[field.name]) for field in batch.schema]
    return pa.RecordBatch.from_arrays(arrays, schema=batch.schema)


def _decided_columns(batch: pa.RecordBatch) -> Iterable[pa.Array]:
    """What routing decides: without floating-point numbers, of which NaN is unequal to itself."""
    labels = LabelColumns(batch, corpus_too=True)
    yield from (labels.column("decision"), labels.column("reasons"), batch["decision"])
    yield Items.of(batch)["regions"].each["decision"].values
