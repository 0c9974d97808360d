"""The rows of a finished dataset by image id, in any order, without their embedded pixels.

Memory: one entry per image and the row groups read last. If rows are asked for in the order of the
dataset, every row group is read once. Any thread may ask.
"""

from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import groupby
from threading import Lock

import numpy as np
import pyarrow as pa

from fo1_data.dataset.arrow_columns import numpy_to_array
from fo1_data.dataset.parquet_files import leaf_columns
from fo1_data.dataset.reader import Dataset, open_parquet
from fo1_data.dataset.rows import record_to_row
from schemas.images import ImageRow
from schemas.parquet import IMAGE_SCHEMA

_NUM_CACHED_GROUPS = 2
COLUMNS = [path for path in leaf_columns(IMAGE_SCHEMA) if path != "image.bytes"]

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

    def path(self, image_id: str) -> str | None:
        """The data file with the row of an image, or None."""
        with self._lock:
            place = self._places.get(image_id)
        return place[0] if place is not None else None

    def batch(self, image_ids: Sequence[str]) -> pa.RecordBatch:
        """The rows of these images, one or more, all of which it has, in this order, as they are stored.

        Every row group is read once. Raises DatasetError if a file is gone or damaged.
        """
        with self._lock:
            places = [self._places[image_id] for image_id in image_ids]
            order = sorted(range(len(places)), key=places.__getitem__)
            pieces = []
            for group, members in groupby((places[number] for number in order), key=lambda place: place[:2]):
                positions = np.array([position for _, _, position in members])
                pieces.append(self._group(*group).take(numpy_to_array(positions)))
        found = pa.concat_tables(pieces).combine_chunks().to_batches()[0]
        return found.take(numpy_to_array(np.argsort(order)))

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
            return parquet.read_row_group(group, columns=COLUMNS)
