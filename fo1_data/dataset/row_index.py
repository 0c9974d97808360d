"""The rows of a finished dataset by image id, in any order, without holding them all.

Memory: one entry an image, and the few row groups read last; asked in the dataset's own order,
every group is read once.
"""

from functools import cached_property, lru_cache

from fo1_data.dataset.reader import Dataset, open_parquet
from fo1_data.dataset.rows import record_to_row
from schemas.images import ImageRow

_GROUPS_HELD = 2

Place = tuple[str, int, int]


class RowIndex:
    """The rows of one finished dataset by `image_id`; nothing is read before the first question."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._group = lru_cache(_GROUPS_HELD)(self._read_group)

    def row(self, image_id: str) -> ImageRow | None:
        """The row of an image; None where there is none."""
        place = self._places.get(image_id)
        if place is None:
            return None
        path, group, position = place
        return record_to_row(self._group(path, group)[position])

    def ids(self) -> list[str]:
        """The ids of all images, in the dataset's order."""
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

    def _read_group(self, path: str, group: int) -> list[dict[str, object]]:
        with open_parquet(self._dataset.store, path) as parquet:
            rows: list[dict[str, object]] = parquet.read_row_group(group).to_pylist()
        return rows
