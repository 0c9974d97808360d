"""A stream of decoded samples of published training sets, for any trainer: shuffled, sharded, resumable.

`SampleStream` is a `torch.utils.data.IterableDataset`. Each DataLoader worker of each process of
torch.distributed is a lane. In each epoch the row groups are shuffled, laid end to end and divided into
ranges of equal length, one per lane. So each row belongs to one lane, and a lane reads only its own row
groups (a group on a border is read by two lanes). A window of row groups is held in memory and shuffled
together.

Places are numbered over all lanes in turn: the first worker of every process, then the second of every
process, and so on. This is the order in which processes that take one sample each get them from their
DataLoaders. `start` is the place to resume from, with the same number of lanes. For that a DataLoader needs
`batch_size=None`: if it makes batches, it takes each batch from a single lane, and the places before a
`start` have all been yielded only after one batch of every worker.

Reads only the columns that a sample needs. Image: (H, W, 3) uint8, upright RGB. Boxes: (R, 4) float32, in its
pixels.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
import pyarrow as pa
from PIL import Image
from torch.utils.data import IterableDataset, get_worker_info

from fo1_data.corpus.decoding import decode_image
from fo1_data.corpus.images import InputLimits
from fo1_data.corpus.plain_jpeg import decode_plain_jpeg
from fo1_data.corpus.rendering import Rendering
from fo1_data.dataset.pixels import read_uri
from fo1_data.dataset.prefetch import map_ahead
from fo1_data.errors import DatasetError, InputReject
from fo1_data.training.samples.row_groups import GroupCache, RowGroup, lane_windows, list_row_groups
from fo1_data.training.workers import Workers

_REGION = "regions.list.element"
_COLUMNS = ["image_id", "uri", "image", "orientation", f"{_REGION}.box_xyxy", f"{_REGION}.brief_caption"]
_PLAIN_FORMATS = ("PNG", "JPEG", "WEBP")


@dataclass(frozen=True)
class ImageSample:
    """An image with its boxes and their brief captions (None: not known). `place`: in the endless series.

    Arrays, not tensors: a DataLoader worker passes each tensor through a shared memory file of its own, which
    takes longer than decoding the image; `torch.from_numpy` is free.
    """

    place: int
    image: np.ndarray
    boxes_xyxy: np.ndarray
    captions: list[str | None]


class SampleStream(IterableDataset):
    """This lane's samples from place `start` to the end of its epoch, or to `stop`.

    A run that resumes with the same number of processes and workers, after the last place yielded to any
    process when all have taken equally many, yields what an uninterrupted run yields. `len`: the number of
    places of this process; if they do not divide evenly, the first processes have one more. An image that
    cannot be read is left out; the DataLoader's workers then change turns, and places are no longer in order.
    Create it in the training process, not in a DataLoader worker. Raises DatasetError if one of `addresses`
    is not a dataset, and while it is read if a file is gone or damaged.

    `threads`: threads of this process that decode ahead, 0 for none. Threads pass arrays on as they are; a
    worker process of a DataLoader copies each three times, so `threads` without workers reads faster as
    long as the training loop leaves a core to them.
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
        threads: int = 0,
    ) -> None:
        self._groups = [group for address in addresses for group in list_row_groups(address, split)]
        self._sizes = [group.num_rows for group in self._groups]
        self.epoch_rows = sum(self._sizes)
        if not self.epoch_rows:
            raise DatasetError(f"{', '.join(addresses)}: no rows to read")
        self._seed, self._window, self._start = seed, window_groups, start
        self._stop = stop if stop is not None else (start // self.epoch_rows + 1) * self.epoch_rows
        self._limits = limits or InputLimits()
        self._threads = threads
        # Read here, because torch.distributed is not set up in a DataLoader's worker process.
        process = Workers()
        self._rank, self._processes = process.rank, process.num

    def __len__(self) -> int:
        return -(-(self._stop - self._start - self._rank) // self._processes)

    def __iter__(self) -> Iterator[ImageSample]:
        info = get_worker_info()
        worker_id, num_workers = (info.id, info.num_workers) if info is not None else (0, 1)
        worker, num_lanes = worker_id * self._processes + self._rank, self._processes * num_workers
        # One more than a window, so that no group is read twice at a window's border.
        loaded = GroupCache(lambda group: _Rows(self._groups[group], self._limits), self._window + 1)
        rows = (
            (loaded[group], row, place)
            for epoch in range(self._start // self.epoch_rows, -(-self._stop // self.epoch_rows))
            for place, (group, row) in self._lane(epoch, worker, num_lanes)
        )
        threads = self._threads
        samples = map_ahead(_sample_of, rows, threads) if threads else map(_sample_of, rows)
        yield from (sample for sample in samples if sample is not None)

    def _lane(self, epoch: int, worker: int, num_lanes: int) -> Iterator[tuple[int, list[int]]]:
        """The places of a worker's lane in an epoch, from `start` to `stop`, each with its group and row."""
        # A DataLoader takes from its first worker first, so that worker's lane contains the place `start`.
        lane = (worker + self._start) % num_lanes
        begin = epoch * self.epoch_rows
        shares = [
            range(begin + (number - begin) % num_lanes, begin + self.epoch_rows, num_lanes)
            for number in range(num_lanes)
        ]
        first = sum(len(share) for share in shares[:lane])
        lane_range = range(first, first + len(shares[lane]))
        places = iter(shares[lane])
        for window in lane_windows(self._sizes, self._window, self._seed, epoch, lane_range):
            for place, row in zip(islice(places, len(window)), window.tolist(), strict=True):
                if place >= self._stop:
                    return
                if place >= self._start:
                    yield place, row


def _sample_of(row: tuple["_Rows", int, int]) -> ImageSample | None:
    rows, position, place = row
    return rows.sample(position, place)


class _Rows:
    """The rows of a group as flat column arrays; a row is a slice of each."""

    def __init__(self, group: RowGroup, limits: InputLimits) -> None:
        self._group, self._limits = group, limits
        table = group.read(_COLUMNS)
        columns = {name: table.column(name).combine_chunks() for name in table.column_names}
        regions = columns["regions"]
        self._ids = columns["image_id"]
        self._uris, self._orientations = columns["uri"], columns["orientation"].to_numpy(zero_copy_only=False)
        self._images = columns["image"].field("bytes")
        self._offsets = regions.offsets.to_numpy()
        flat = regions.values
        self._boxes = flat.field("box_xyxy").flatten().to_numpy(zero_copy_only=False).reshape(-1, 4)
        self._captions = flat.field("brief_caption")

    def sample(self, row: int, place: int) -> ImageSample | None:
        """Decode a row; None if its image cannot be read."""
        first, last = self._offsets[row : row + 2].tolist()
        try:
            pixels = self._pixels(row)
        except InputReject:
            return None
        boxes = np.array(self._boxes[first:last], dtype=np.float32)
        captions = self._captions.slice(first, last - first).to_pylist()
        return ImageSample(place, pixels, boxes, captions)

    def _pixels(self, row: int) -> np.ndarray:
        stored = self._images[row]
        data = stored.as_py() if stored.is_valid else read_uri(self._uris[row].as_py(), self._limits)
        orientation = self._orientations[row]
        pixels = decode_plain_jpeg(data, orientation, self._limits.max_pixels)
        if pixels is None and orientation == 1:
            pixels = _decode_plain_rgb(data, self._limits)
        if pixels is None:
            rendering = Rendering.of_row(self._metas[row].as_py())
            image = decode_image(data, self._limits, rendering, self._ids[row].as_py())
            pixels = np.array(image.rgb)
        return pixels

    @cached_property
    def _metas(self) -> pa.ChunkedArray:
        """What rows say of their images, read only where an image is no plain picture."""
        return self._group.read(["meta"]).column("meta")


def _decode_plain_rgb(data: bytes, limits: InputLimits) -> np.ndarray | None:
    """The pixels of an image that is stored as plain RGB; None if it needs `decode_image` or is damaged."""
    try:
        with Image.open(io.BytesIO(data), formats=_PLAIN_FORMATS) as image:
            is_small = image.width * image.height <= limits.max_pixels
            is_plain = image.mode == "RGB" and "transparency" not in image.info
            return np.array(image) if is_small and is_plain else None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
