"""Rows of an earlier version (`--parent`), found by image id and carried over as they are.

A carried row keeps every label, so nothing that a person said is overwritten, and no model is
asked about it again; only its address (and embedded bytes) are the new run's. Memory: one entry an
image, and the few row groups read last. Does not merge label kinds into a row.
"""

from collections import OrderedDict
from functools import cached_property

import pyarrow.parquet as pq

from fo1_data.dataset.reader import Dataset, open_dataset
from fo1_data.dataset.rows import record_to_row, with_uris
from schemas.images import EncodedImage, ImageRow

_GROUPS_HELD = 2

Place = tuple[str, int, int]


class ParentRows:
    """The rows of one finished dataset by `image_id`; nothing is read before the first question."""

    def __init__(self, dataset: Dataset) -> None:
        self.manifest = dataset.manifest
        self._dataset = dataset
        self._groups: OrderedDict[tuple[str, int], list[dict[str, object]]] = OrderedDict()

    def row(self, image_id: str) -> ImageRow | None:
        """The parent's row of an image; None where it has none."""
        place = self._places.get(image_id)
        if place is None:
            return None
        path, group, position = place
        return record_to_row(self._group(path, group)[position])

    def carry_over(self, image_id: str, uri: str, data: bytes | None = None) -> ImageRow | None:
        """The parent's row of an image as a row of this run, found at `uri`; None where it has none.

        `data`: the encoded bytes where this run embeds them.
        """
        row = self.row(image_id)
        if row is None:
            return None
        moved = row.model_copy(
            update={"uri": uri, "uris": [uri], "image": EncodedImage(bytes=data, path=uri)}
        )
        return with_uris(moved, row.uris)

    @cached_property
    def _places(self) -> dict[str, Place]:
        places: dict[str, Place] = {}
        for file in self._dataset.data_files():
            with self._dataset.store.open_input(file.path) as source:
                parquet = pq.ParquetFile(source)
                for group in range(parquet.num_row_groups):
                    ids = parquet.read_row_group(group, columns=["image_id"]).column(0).to_pylist()
                    places.update({name: (file.path, group, at) for at, name in enumerate(ids)})
        return places

    def _group(self, path: str, group: int) -> list[dict[str, object]]:
        key = (path, group)
        if key not in self._groups:
            with self._dataset.store.open_input(path) as source:
                self._groups[key] = pq.ParquetFile(source).read_row_group(group).to_pylist()
        self._groups.move_to_end(key)
        while len(self._groups) > _GROUPS_HELD:
            self._groups.popitem(last=False)
        return self._groups[key]


def open_parent(address: str) -> ParentRows:
    """The rows of the finished dataset at `address`. Raises DatasetError where there is none."""
    return ParentRows(open_dataset(address))
