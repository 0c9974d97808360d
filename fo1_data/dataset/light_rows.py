"""Rows without what takes most space in a dataset: the signals of labels, and pixels where nobody needs them.

For what goes through all rows of a dataset and looks at boxes, texts, confidences and decisions: exports,
reports, figures. Files whose rows are not regular are read as `row_batches` reads them, with all columns.
"""

from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from fo1_data.dataset.columns_to_rows import columns_to_rows
from fo1_data.dataset.layout import split_and_index
from fo1_data.dataset.reader import Dataset, open_parquet
from fo1_data.dataset.row_batches import BATCH_ROWS, regular_batches
from fo1_data.dataset.row_form import has_columns_of_rows, irregular_rows
from fo1_data.dataset.version_1 import is_version_1
from fo1_data.storage.store import Store
from schemas.images import ImageRow

# Whether to read a column, by its path in Parquet: `regions.list.element.box_xyxy.list.element`.
ColumnFilter = Callable[[str], bool]


def light_rows(
    dataset: Dataset, split: str | None = None, *, pixels: bool = True, signals: bool = False
) -> Iterator[ImageRow]:
    """Every row, or those of one split: as `Dataset.rows`, but no label has signals, unless `signals`.

    `pixels`: False leaves out the bytes of embedded images. Raises DatasetError on a broken row.
    """

    def takes(path: str) -> bool:
        return (signals or is_light(path)) and (pixels or path != "image.bytes")

    for file in dataset.data_files():
        place = split_and_index(file.path)
        if split is None or (place is not None and place[0] == split):
            for batch in light_batches(dataset.store, file.path, takes):
                yield from columns_to_rows(batch)


def is_light(path: str) -> bool:
    """True for all columns but the signals of labels."""
    return ".signals." not in path


def without_pixels(path: str) -> bool:
    """True for all columns but the signals of labels and the bytes of images."""
    return is_light(path) and path != "image.bytes"


def light_columns(parquet: pq.ParquetFile, takes: ColumnFilter = is_light) -> list[str] | None:
    """The paths of the columns of a file that `takes` accepts; None if its columns are not those of today."""
    schema = parquet.schema_arrow
    if not has_columns_of_rows(schema) or is_version_1(schema.names):
        return None
    paths = (parquet.schema.column(number).path for number in range(len(parquet.schema)))
    return [path for path in paths if takes(path)]


def light_batches(store: Store, path: str, takes: ColumnFilter) -> Iterator[pa.RecordBatch]:
    """The regular rows of a data file in the columns of today that `takes` accepts, a batch at a time.

    If a row needs validation, it and those after it come with all columns. Raises DatasetError if the file is
    gone or damaged, or a row is broken.
    """
    num_read = 0
    with open_parquet(store, path) as parquet:
        columns = light_columns(parquet, takes)
        if columns is not None:
            for batch in parquet.iter_batches(batch_size=BATCH_ROWS, columns=columns):
                if irregular_rows(batch).any():
                    break
                yield batch
                num_read += batch.num_rows
            else:
                return
    for batch in regular_batches(store, path):
        rest = batch.slice(min(num_read, batch.num_rows))
        num_read -= batch.num_rows - rest.num_rows
        if rest.num_rows:
            yield rest
