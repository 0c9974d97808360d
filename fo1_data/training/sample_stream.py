"""Decoded samples of published training sets, for any trainer: shuffled, sharded, gone on with in mid-epoch.

A `torch.utils.data.IterableDataset`: its workers (and the processes of torch.distributed) share the places
of an epoch, each place being one worker's. `start` is the place to go on from: a loader that has taken n
samples of each of its workers goes on at n times their number. Only the columns of a sample are read, and
no more than a window of row groups is held. Image: (H, W, 3) uint8, upright RGB; boxes: (R, 4) float32,
pixels of that image. `fo1 train` reads the same rows in the same order, with all that is known of them.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from fo1_data.corpus.images import InputLimits, decode_rgb
from fo1_data.corpus.storage import open_store, read_bytes
from fo1_data.dataset.reader import open_dataset
from fo1_data.errors import DatasetError, InputReject
from fo1_data.training.example_source import shuffled_order
from fo1_data.training.workers import Workers
from schemas.corpus import CorpusImage

_REGION = "regions.list.element"
_COLUMNS = ["uri", "image", "orientation", f"{_REGION}.box_xyxy", f"{_REGION}.brief_caption"]
_LIMITS = InputLimits()


@dataclass(frozen=True)
class Sample:
    """An image with its boxes and what each is called (None: not known). `place`: in the endless series."""

    place: int
    image: Tensor
    boxes_xyxy: Tensor
    captions: list[str | None]


class SampleStream(IterableDataset):
    """The samples from `start` to the end of its epoch (or to `stop`), this worker's share of them.

    Images that cannot be read are left out. Raises DatasetError where `addresses` are no datasets.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        seed: int = 0,
        window_groups: int = 4,
        start: int = 0,
        stop: int | None = None,
        split: str | None = None,
    ) -> None:
        self._groups = [group for address in addresses for group in _groups_of(address, split)]
        self._sizes = [np.arange(num_rows) for num_rows, _ in self._groups]
        self.epoch_rows = sum(num_rows for num_rows, _ in self._groups)
        if not self.epoch_rows:
            raise DatasetError(f"{', '.join(addresses)}: no rows to read")
        self._seed, self._window, self._start = seed, window_groups, start
        self._stop = stop if stop is not None else (start // self.epoch_rows + 1) * self.epoch_rows

    def __len__(self) -> int:
        return self._stop - self._start

    def __iter__(self) -> Iterator[Sample]:
        info, peers = get_worker_info(), Workers()
        here, num_here = (info.id, info.num_workers) if info is not None else (0, 1)
        first, step = self._start + peers.rank * num_here + here, peers.num * num_here
        held: dict[int, _Rows] = {}
        epoch, order = -1, np.zeros((0, 2), np.int64)
        for place in range(first, self._stop, step):
            if place // self.epoch_rows != epoch:
                epoch = place // self.epoch_rows
                order = shuffled_order(self._sizes, self._window, self._seed, epoch)
            group, row = order[place % self.epoch_rows].tolist()
            if group not in held:
                held[group] = self._groups[group][1]()
                # One more than a window, so that its border is crossed without reading twice.
                while len(held) > self._window + 1:
                    del held[next(iter(held))]
            sample = held[group].sample(row, place)
            if sample is not None:
                yield sample


def _groups_of(address: str, split: str | None) -> list[tuple[int, Callable[[], "_Rows"]]]:
    """Each row group of a dataset: how many rows it has, and what reads it."""
    dataset = open_dataset(address)
    groups: list[tuple[int, Callable[[], _Rows]]] = []
    for file in dataset.data_files():
        if split is not None and not file.path.startswith(f"data/{split}-"):
            continue
        with dataset.store.open_input(file.path) as opened:
            footer = pq.ParquetFile(opened).metadata
            for number in range(footer.num_row_groups):
                groups.append((footer.row_group(number).num_rows, _reader(address, file.path, number)))
    return groups


def _reader(address: str, path: str, number: int) -> "Callable[[], _Rows]":
    def read() -> _Rows:
        with open_store(address).open_input(path) as opened:
            return _Rows(pq.ParquetFile(opened).read_row_group(number, columns=_COLUMNS))

    return read


class _Rows:
    """The rows of a group, their columns flat: a row is a slice of each."""

    def __init__(self, table: pa.Table) -> None:
        columns = {name: table.column(name).combine_chunks() for name in table.column_names}
        regions = columns["regions"]
        self._uris, self._orientations = columns["uri"], columns["orientation"].to_numpy(zero_copy_only=False)
        self._images = columns["image"].field("bytes")
        self._offsets = regions.offsets.to_numpy()
        flat = regions.values
        self._boxes = flat.field("box_xyxy").flatten().to_numpy(zero_copy_only=False).reshape(-1, 4)
        self._captions = flat.field("brief_caption")

    def sample(self, row: int, place: int) -> Sample | None:
        """One row decoded; None where its image cannot be read."""
        first, last = self._offsets[row : row + 2].tolist()
        try:
            pixels = self._pixels(row)
        except InputReject:
            return None
        boxes = np.array(self._boxes[first:last], dtype=np.float32)
        captions = self._captions.slice(first, last - first).to_pylist()
        return Sample(place, torch.from_numpy(pixels), torch.from_numpy(boxes), captions)

    def _pixels(self, row: int) -> np.ndarray:
        stored = self._images[row]
        data = stored.as_py() if stored.is_valid else read_bytes(_entry(self._uris[row].as_py()), _LIMITS)
        if self._orientations[row] == 1:
            plain = _plain_rgb(data)
            if plain is not None:
                return plain
        return np.array(decode_rgb(data, _LIMITS).rgb)


def _plain_rgb(data: bytes) -> np.ndarray | None:
    """The pixels of an image that is RGB as it is stored; None where more is to be done, or looked into."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return (
                np.array(image) if image.mode == "RGB" and image.format in ("PNG", "JPEG", "WEBP") else None
            )
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _entry(uri: str) -> CorpusImage:
    archive, _, inner = uri.partition("::")
    return CorpusImage(uri=archive, inner=inner or None)
