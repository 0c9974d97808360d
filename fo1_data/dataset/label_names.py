"""What names each label of a batch of regular rows: subjects and keys as of `LabelPart`, as columns."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fo1_data.dataset.arrow_columns import array_to_numpy, numpy_to_array, to_scalar
from fo1_data.dataset.items import Items, labels_of
from fo1_data.dataset.label_columns import Mask, Places
from schemas.labels import Source

_BAR, _EMPTY = to_scalar("|", pa.string()), to_scalar("", pa.string())


class LabelNames:
    """Names of all labels of a batch, those of the corpus too: part after part, as of `labels_of`."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._row = Items.of(batch)
        self._parts = labels_of(self._row)

    def subjects(self) -> pa.Array:
        """`LabelPart.subject`: the phrase or question, empty for a label of a region."""
        of_regions = pc.fill_null(pa.nulls(len(self._parts[0]), pa.string()), _EMPTY)
        phrases = [self._row[column].each["phrase"].values for column in ("groundings", "counts")]
        return pa.concat_arrays([of_regions, *phrases, self._row["answers"].each["question"].values])

    def keys(self) -> pa.Array:
        """`LabelPart.key`. Of a label of the corpus, which has no key, it means nothing."""
        rows = numpy_to_array(np.concatenate([labels.rows for labels in self._parts]))
        kinds = pa.concat_arrays([labels["kind"].values for labels in self._parts])
        answered = [
            array_to_numpy(pc.not_equal(labels["source"].values, to_scalar(Source.CORPUS.value, pa.string())))
            for labels in self._parts
        ]
        abouts = self._abouts()
        image_ids = self._row["image_id"].values.take(rows)
        names = pc.binary_join_element_wise(image_ids, kinds, abouts, _BAR)
        numbers = _numbers_of_equal(array_to_numpy(rows), names, np.concatenate(answered))
        return pc.binary_join_element_wise(names, numpy_to_array(numbers).cast(pa.string()), _BAR)

    def _abouts(self) -> pa.Array:
        """The region, or the subject; for the answer about a region, both."""
        regions, answers = self._row["regions"].each, self._row["answers"].each
        of_regions = regions["region_id"].at(regions["labels"].owners)
        phrases = [self._row[column].each["phrase"].values for column in ("groundings", "counts")]
        questions, asked_of = answers["question"].values, answers["region_id"].values
        both = pc.binary_join_element_wise(questions, asked_of, _BAR)
        is_of_region = pc.fill_null(pc.not_equal(asked_of, _EMPTY), to_scalar(False, pa.bool_()))
        return pa.concat_arrays([of_regions, *phrases, pc.if_else(is_of_region, both, questions)])


def _numbers_of_equal(rows: Places, names: pa.Array, is_counted: Mask) -> Places:
    """How many labels of the same row and name stand before each label in its row."""
    codes = array_to_numpy(pc.dictionary_encode(names).indices).astype(np.int64)
    numbers = np.zeros(len(rows), np.int64)
    counted = np.flatnonzero(is_counted)
    order = counted[np.lexsort((counted, codes[counted], rows[counted]))]
    is_first = np.ones(len(order), bool)
    is_first[1:] = (np.diff(rows[order]) != 0) | (np.diff(codes[order]) != 0)
    starts = np.flatnonzero(is_first)[np.cumsum(is_first) - 1]
    numbers[order] = np.arange(len(order)) - starts
    return numbers
