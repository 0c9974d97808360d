"""The signals of judged labels, read from a dataset when they are asked for.

Judging needs rows without signals (`light_rows`), which are a quarter of the work and far less memory.
"""

from collections.abc import Sequence

import pyarrow.compute as pc

from fo1_data.confidence.open_labels import signals_of_batch
from fo1_data.dataset.arrow_columns import to_array
from fo1_data.dataset.label_columns import LabelColumns
from fo1_data.dataset.label_names import LabelNames
from fo1_data.dataset.label_parts import LabelPart
from fo1_data.dataset.light_rows import light_batches
from fo1_data.dataset.reader import Dataset
from schemas.labels import Source
from schemas.parquet import IMAGE_SCHEMA


class StoredSignals:
    """Reads signals of labels from a dataset, in one pass over its files. Holds those that were asked for."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def __call__(self, parts: Sequence[LabelPart]) -> list[dict[str, float]]:
        """The signals that are about trust of labels of the dataset, by name. Raises DatasetError."""
        tables: dict[str, dict[str, float]] = {part.key: {} for part in parts}
        image_ids = to_array(list({part.row.image_id for part in parts}), IMAGE_SCHEMA.field("image_id").type)
        for file in self._dataset.data_files():
            for every in light_batches(self._dataset.store, file.path, _names_or_gives_signals):
                batch = every.filter(pc.is_in(every["image_id"], value_set=image_ids))
                signals = signals_of_batch(batch).by_label()
                from_corpus = LabelColumns(batch, corpus_too=True).is_from(Source.CORPUS).tolist()
                keys = LabelNames(batch).keys().to_pylist()
                for key, skipped, table in zip(keys, from_corpus, signals, strict=True):
                    if key in tables and not skipped:
                        tables[key].update(table)
        return [tables[part.key] for part in parts]


def _names_or_gives_signals(path: str) -> bool:
    """True for the columns that keys and signals are made of."""
    ends = (".kind", ".source", ".phrase", ".question", ".region_id")
    return path == "image_id" or ".signals." in path or path.endswith(ends)
