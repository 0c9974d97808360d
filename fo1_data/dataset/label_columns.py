"""The labels that models and people gave in a batch of rows, as columns: one place a label.

The same statements as those of `Label` and `ImageRow.answered_labels`, about all labels at once. Arrays are
(labels,). Changes nothing.
"""

from collections.abc import Sequence
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fo1_data.dataset.arrow_columns import array_to_numpy, numpy_to_array, to_array, to_scalar
from fo1_data.dataset.items import Items, Rows, labels_of
from schemas.labels import Decision, LabelKind, Source

Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]

_CORPUS = to_scalar(Source.CORPUS.value, pa.string())
_NO_PLACE = to_scalar(-1, pa.int32())
_NO_CONFIDENCE = to_scalar(np.nan, pa.float32())


class LabelColumns:
    """The labels of a batch of regular rows, part after part as of `labels_of`, without those of the corpus.

    `rows`: positions in the batch. `corpus_too`: with those of the corpus.
    """

    def __init__(self, batch: pa.RecordBatch, *, corpus_too: bool = False) -> None:
        every = labels_of(Items.of(batch))
        self._parts = every if corpus_too else [_without_corpus(labels) for labels in every]
        self.num_rows = batch.num_rows
        self.rows: Rows = np.concatenate([labels.rows for labels in self._parts])

    def by_part(self, values: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """(labels,) values as those of the labels of regions, groundings, counts and answers."""
        return np.split(values, np.cumsum([len(labels) for labels in self._parts])[:-1])

    def column(self, name: str) -> pa.Array:
        """A member of the labels."""
        return pa.concat_arrays([labels[name].values for labels in self._parts])

    @cached_property
    def confidence(self) -> npt.NDArray[np.float64]:
        """The confidence; NaN for a label without one."""
        return array_to_numpy(pc.fill_null(self.column("confidence"), _NO_CONFIDENCE)).astype(np.float64)

    @cached_property
    def has_confidence(self) -> Mask:
        """Whether the label has a confidence."""
        return array_to_numpy(self.column("confidence").is_valid())

    def is_kind(self, *kinds: LabelKind) -> Mask:
        """Whether the label is of one of the kinds."""
        return self._is_any("kind", kinds)

    def is_from(self, *sources: Source) -> Mask:
        """Whether the label is of one of the sources."""
        return self._is_any("source", sources)

    def places_of(self, name: str, words: Sequence[StrEnum]) -> Places:
        """The place of each label's value of a member among `words`; -1 for null."""
        values = to_array([word.value for word in words], pa.string())
        places = pc.index_in(self.column(name), value_set=values)
        return array_to_numpy(pc.fill_null(places, _NO_PLACE)).astype(np.int64)

    def is_decided(self, *decisions: Decision) -> Mask:
        """Whether the label has one of the decisions."""
        return self._is_any("decision", decisions)

    def has_reason(self, reason: str) -> Mask:
        """Whether `reason` is among the reasons of the label's decision."""
        masks, word = [], to_scalar(reason, pa.string())
        for labels in self._parts:
            reasons = labels["reasons"]
            having = reasons.owners[array_to_numpy(pc.equal(reasons.each.values, word))]
            masks.append(np.isin(np.arange(len(labels)), having))
        return np.concatenate(masks)

    @cached_property
    def is_stale(self) -> Mask:
        """Whether people have changed the boxes that the label is about since it was given."""
        return np.asarray(array_to_numpy(self.column("box_moved")), bool)

    @cached_property
    def is_locked(self) -> Mask:
        """Whether a person wrote or confirmed the label."""
        has_annotator: Mask = array_to_numpy(self.column("annotator").is_valid())
        return self.is_from(Source.HUMAN) | has_annotator

    @cached_property
    def is_accepted(self) -> Mask:
        """As `Label.is_accepted`."""
        routed = self.is_decided(Decision.ACCEPT, Decision.AUDIT) & self.has_confidence
        return (self.is_locked | routed) & ~self.is_stale

    @cached_property
    def is_unreviewed(self) -> Mask:
        """As `Label.is_unreviewed`."""
        routed = self.is_decided(Decision.ACCEPT, Decision.AUDIT, Decision.UNREVIEWED)
        return routed & ~self.is_accepted

    def texts(self, mask: Mask) -> pa.Array:
        """The texts of the labels at which `mask` is true."""
        return self.column("text").filter(numpy_to_array(mask))

    def num_by_row(self, mask: Mask | None = None) -> npt.NDArray[np.int64]:
        """(rows,) how many labels each row has; of those at which `mask` is true, if it is given."""
        rows = self.rows if mask is None else self.rows[mask]
        return np.bincount(rows, minlength=self.num_rows)

    def _is_any(self, name: str, words: Sequence[StrEnum]) -> Mask:
        values = to_array([word.value for word in words], pa.string())
        return array_to_numpy(pc.is_in(self.column(name), value_set=values))


def _without_corpus(labels: Items) -> Items:
    return labels.where(pc.not_equal(labels["source"].values, _CORPUS))
