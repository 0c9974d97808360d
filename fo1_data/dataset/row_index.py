"""The rows of a finished dataset by image id, in any order, without their embedded pixels.

Memory: one entry per image and the row groups read last. If rows are asked for in the order of the
dataset, every row group is read once. Any thread may ask.
"""

from functools import cached_property, lru_cache
from threading import Lock

import pyarrow as pa

from fo1_data.dataset.parquet_files import leaf_columns
from fo1_data.dataset.reader import Dataset, open_parquet
from fo1_data.dataset.rows import record_to_row
from schemas.images import ImageRow
from schemas.parquet import IMAGE_SCHEMA

_NUM_CACHED_GROUPS = 2
_COLUMNS = [path for path in leaf_columns(IMAGE_SCHEMA) if path != "image.bytes"]

# Path of the data file, number of the row group, position in the group.
Place = tuple[str, int, int]


class RowIndex:
    """The rows of one finished dataset by `image_id`. Reads nothing before the first call."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._group = lru_cache(_NUM_CACHED_GROUPS)(self._read_group)
        self._lock = Lock()

    def row(self, image_id: str) -> ImageRow | None:
        """The row of an image, or None. Raises DatasetError if a file is gone or damaged."""
        with self._lock:
            place = self._places.get(image_id)
            if place is None:
                return None
            path, group, position = place
            table = self._group(path, group)
        return record_to_row(table.slice(position, 1).to_pylist()[0])

    def ids(self) -> list[str]:
        """The ids of all images, in the order of the dataset."""
        with self._lock:
            return list(self._places)

    @cached_property
    def _places(self) -> dict[str, Place]:
        places: dict[str, Place] = {}
        for file in self._dataset.data_files():
            with open_parquet(self._dataset.store, file.path) as parquet:
                for group in range(parquet.num_row_groups):
                    ids = parquet.read_row_group(group, columns=["image_id"]).column(0).to_pylist()
                    places.update({name: (file.path, group, at) for at, name in enumerate(ids)})
        return places

    def _read_group(self, path: str, group: int) -> pa.Table:
        with open_parquet(self._dataset.store, path) as parquet:
            return parquet.read_row_group(group, columns=_COLUMNS)
