"""The rows of a finished dataset by image id, in any order, without holding them all.

Memory: one entry an image, and the few row groups read last; asked in the dataset's own order,
every group is read once.
"""

from collections import OrderedDict
from functools import cached_property

from fo1_data.dataset.reader import Dataset, open_parquet
from fo1_data.dataset.rows import record_to_row
from schemas.images import ImageRow

_GROUPS_HELD = 2

Place = tuple[str, int, int]


class RowIndex:
    """The rows of one finished dataset by `image_id`; nothing is read before the first question."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._groups: OrderedDict[tuple[str, int], list[dict[str, object]]] = OrderedDict()

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

    def _group(self, path: str, group: int) -> list[dict[str, object]]:
        key = (path, group)
        if key not in self._groups:
            with open_parquet(self._dataset.store, path) as parquet:
                self._groups[key] = parquet.read_row_group(group).to_pylist()
        self._groups.move_to_end(key)
        while len(self._groups) > _GROUPS_HELD:
            self._groups.popitem(last=False)
        return self._groups[key]
