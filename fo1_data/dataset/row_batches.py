"""The rows of a data file as record batches, without a model for each row.

Holds one batch. `regular_batches` gives rows of today's schema, of which only those that need it were read as
records; `replace_rows` and `without_images` change few of many.
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fo1_data.dataset.added_members import complete
from fo1_data.dataset.arrow_columns import array_to_numpy, numpy_to_array
from fo1_data.dataset.items import Rows
from fo1_data.dataset.reader import Dataset, open_parquet
from fo1_data.dataset.row_form import has_columns_of_rows, irregular_rows
from fo1_data.dataset.rows import rows_to_table, table_to_rows
from fo1_data.dataset.version_1 import is_version_1
from fo1_data.storage.store import Store
from schemas.images import ImageRow

BATCH_ROWS = 1_000


def read_batches(
    store: Store, path: str, batch_rows: int = BATCH_ROWS, columns: list[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of a data file as they are stored. Raises DatasetError if it is gone or damaged."""
    with open_parquet(store, path) as parquet:
        yield from parquet.iter_batches(batch_size=batch_rows, columns=columns)


def regular_batches(store: Store, path: str, batch_rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    """The rows of a data file of any version in the columns of today.

    Raises DatasetError if the file is gone or damaged, or a row is broken.
    """
    for batch in read_batches(store, path, batch_rows):
        if is_version_1(batch.schema.names) or not has_columns_of_rows(batch.schema):
            yield rows_to_batch(table_to_rows(batch))
            continue
        places = np.flatnonzero(irregular_rows(batch))
        rows = table_to_rows(batch.take(numpy_to_array(places)))
        yield replace_rows(complete(batch), dict(zip(places.tolist(), rows, strict=True)))


def places_of(batch: pa.RecordBatch, image_ids: pa.StringArray) -> Rows:
    """The positions, which ascend, of the rows of these images in a batch."""
    return np.flatnonzero(array_to_numpy(pc.is_in(batch["image_id"], value_set=image_ids)))


def files_of(dataset: Dataset, image_ids: pa.StringArray) -> set[str]:
    """The data files that hold a row of one of these images."""

    def holds(path: str) -> bool:
        batches = read_batches(dataset.store, path, columns=["image_id"])
        return any(len(places_of(batch, image_ids)) for batch in batches)

    return {file.path for file in dataset.data_files() if len(image_ids) and holds(file.path)}


def rows_to_batch(rows: Iterable[ImageRow]) -> pa.RecordBatch:
    """The rows, at least one, as one batch of `IMAGE_SCHEMA`."""
    return pa.concat_batches(rows_to_table(list(rows)).to_batches())


def replace_rows(batch: pa.RecordBatch, rows: Mapping[int, ImageRow]) -> pa.RecordBatch:
    """The batch with other rows at these positions, which ascend. `batch`: of `IMAGE_SCHEMA`."""
    if not rows:
        return batch
    new = rows_to_batch(rows.values())
    pieces, start = [], 0
    for number, place in enumerate(rows):
        pieces += [batch.slice(start, place - start), new.slice(number, 1)]
        start = place + 1
    return pa.concat_batches([*pieces, batch.slice(start)])


def without_images(batch: pa.RecordBatch, image_ids: pa.StringArray) -> pa.RecordBatch:
    """The batch without the rows of these images."""
    return batch.filter(pc.invert(pc.is_in(batch["image_id"], value_set=image_ids)))
