"""Decoded samples of published training sets, for any trainer: shuffled, sharded, gone on with in mid-epoch.

A `torch.utils.data.IterableDataset`: its workers, over all processes of torch.distributed, are lanes. Each
epoch the row groups are shuffled and dealt out in stretches of equal length, so that a lane reads its own
row groups and no others (on a border two lanes read one), and each row is one lane's. A window of row
groups is held and shuffled together: the bound on memory. Places are counted over all lanes, lane by lane
in turn: the first worker of every process, then the second of every process. In that order processes that
take one sample each get them from their DataLoaders: `start` is the place to go on from, with as many lanes.
A loader needs `batch_size=None` for that: one that makes batches takes each from a single lane, so that the
places up to some `start` are only given after a batch of every worker. Only the columns of a sample are
read. Image: (H, W, 3) uint8, upright RGB; boxes: (R, 4) float32, pixels of it.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch.utils.data import IterableDataset, get_worker_info

from fo1_data.corpus.images import InputLimits, decode_rgb
from fo1_data.dataset.pixels import read_uri
from fo1_data.errors import DatasetError, InputReject
from fo1_data.training.samples.row_groups import HeldGroups, RowGroup, lane_order, list_row_groups
from fo1_data.training.workers import Workers

_REGION = "regions.list.element"
_COLUMNS = ["uri", "image", "orientation", f"{_REGION}.box_xyxy", f"{_REGION}.brief_caption"]
_PLAIN_FORMATS = ("PNG", "JPEG", "WEBP")


@dataclass(frozen=True)
class Sample:
    """An image with its boxes and what each is called (None: not known). `place`: in the endless series.

    Arrays, not tensors: from a loader's worker a tensor comes by a file of shared memory of its own, which
    costs more than decoding the image; `torch.from_numpy` costs nothing.
    """

    place: int
    image: np.ndarray
    boxes_xyxy: np.ndarray
    captions: list[str | None]


class SampleStream(IterableDataset):
    """The samples from `start` to the end of its epoch (or to `stop`), this lane's share of them.

    With as many processes and workers, a run that goes on behind the last place that any process was given,
    when all have taken as many, gets what an undisturbed one gets. Its length is this process' share: where
    that does not come out even, the first processes have one more. An image that cannot be read is left out
    and shifts the turns of the loader's workers: places are then no longer in order. To be made in the
    process that trains, not in a worker of its loader. Raises DatasetError where `addresses` are no
    datasets, or damaged.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        seed: int = 0,
        window_groups: int = 4,
        start: int = 0,
        stop: int | None = None,
        split: str | None = None,
        limits: InputLimits | None = None,
    ) -> None:
        self._groups = [group for address in addresses for group in list_row_groups(address, split)]
        self._sizes = [group.num_rows for group in self._groups]
        self.epoch_rows = sum(self._sizes)
        if not self.epoch_rows:
            raise DatasetError(f"{', '.join(addresses)}: no rows to read")
        self._seed, self._window, self._start = seed, window_groups, start
        self._stop = stop if stop is not None else (start // self.epoch_rows + 1) * self.epoch_rows
        self._limits = limits or InputLimits()
        # A loader's worker is a process of its own, in which torch.distributed is not set up.
        process = Workers()
        self._rank, self._processes = process.rank, process.num

    def __len__(self) -> int:
        return -(-(self._stop - self._start - self._rank) // self._processes)

    def __iter__(self) -> Iterator[Sample]:
        info = get_worker_info()
        here, num_here = (info.id, info.num_workers) if info is not None else (0, 1)
        worker, lanes = here * self._processes + self._rank, self._processes * num_here
        # One more than a window, so that its border is crossed without reading twice.
        held = HeldGroups(lambda group: _Rows(self._groups[group], self._limits), self._window + 1)
        for epoch in range(self._start // self.epoch_rows, -(-self._stop // self.epoch_rows)):
            for place, (group, row) in self._lane(epoch, worker, lanes):
                sample = held[group].sample(row, place)
                if sample is not None:
                    yield sample

    def _lane(self, epoch: int, worker: int, lanes: int) -> Iterator[tuple[int, list[int]]]:
        """The places of a worker's lane in an epoch, from `start` to `stop`, each with its group and row."""
        # A loader takes from its first worker first, so that worker has the place it starts at.
        lane = (worker + self._start) % lanes
        begin = epoch * self.epoch_rows
        shares = [
            range(begin + (one - begin) % lanes, begin + self.epoch_rows, lanes) for one in range(lanes)
        ]
        first = sum(len(share) for share in shares[:lane])
        stretch = range(first, first + len(shares[lane]))
        order = lane_order(self._sizes, self._window, self._seed, epoch, stretch).tolist()
        for place, row in zip(shares[lane], order, strict=True):
            if self._start <= place < self._stop:
                yield place, row


class _Rows:
    """The rows of a group, their columns flat: a row is a slice of each."""

    def __init__(self, group: RowGroup, limits: InputLimits) -> None:
        self._limits = limits
        table = group.read(_COLUMNS)
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
        return Sample(place, pixels, boxes, captions)

    def _pixels(self, row: int) -> np.ndarray:
        stored = self._images[row]
        data = stored.as_py() if stored.is_valid else read_uri(self._uris[row].as_py(), self._limits)
        if self._orientations[row] == 1:
            plain = _plain_rgb(data, self._limits)
            if plain is not None:
                return plain
        return np.array(decode_rgb(data, self._limits).rgb)


def _plain_rgb(data: bytes, limits: InputLimits) -> np.ndarray | None:
    """The pixels of an image that is RGB as it is stored; None where more is to be done, or looked into."""
    try:
        with Image.open(io.BytesIO(data), formats=_PLAIN_FORMATS) as image:
            small = image.width * image.height <= limits.max_pixels
            is_plain = image.mode == "RGB" and "transparency" not in image.info
            return np.array(image) if small and is_plain else None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
