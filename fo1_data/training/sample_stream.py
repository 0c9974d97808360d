"""Decoded samples of a training set, for any trainer: shuffled, sharded, gone on with in mid-epoch.

A `torch.utils.data.IterableDataset`: its workers (and the processes of torch.distributed) share the places
of an epoch, each place being one worker's. `start` is the place to go on from: a loader that has taken n
samples of each of its workers goes on at n times their number. Images: (H, W, 3) uint8, upright RGB; boxes:
(R, 4) float32, pixels of that image.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from fo1_data.corpus.frames import oriented_entry
from fo1_data.corpus.images import InputLimits, decode_rgb
from fo1_data.corpus.storage import read_bytes
from fo1_data.errors import InputReject
from fo1_data.training.dataset_samples import Example
from fo1_data.training.example_source import ExampleSource
from fo1_data.training.workers import Workers


@dataclass(frozen=True)
class Sample:
    """An image with its boxes and what each of them is called (None: not known). `place`: in the series."""

    place: int
    image: np.ndarray
    boxes_xyxy: np.ndarray
    captions: list[str | None]


class SampleStream(IterableDataset):
    """The samples of one epoch (or of all from `start` to `stop`), this worker's share of them.

    Images that cannot be read are left out. Raises what `ExampleSource` raises.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        seed: int = 0,
        window_groups: int = 4,
        start: int = 0,
        stop: int | None = None,
    ) -> None:
        self._source = ExampleSource(addresses, seed, window_groups)
        self._start = start
        self._stop = stop if stop is not None else (start // len(self._source) + 1) * len(self._source)
        self._limits = InputLimits()

    def __len__(self) -> int:
        return self._stop - self._start

    def __iter__(self) -> Iterator[Sample]:
        info, peers = get_worker_info(), Workers()
        here, num_here = (info.id, info.num_workers) if info is not None else (0, 1)
        first, step = self._start + peers.rank * num_here + here, peers.num * num_here
        for place in range(first, self._stop, step):
            sample = self._sample(place, self._source.at(place))
            if sample is not None:
                yield sample

    def _sample(self, place: int, example: Example) -> Sample | None:
        try:
            data = example.encoded if example.encoded is not None else read_bytes(example.entry, self._limits)
            image = decode_rgb(data, self._limits)
        except InputReject:
            return None
        entry, _ = oriented_entry(example.entry, image, example.box_frame)
        regions = entry.regions or []
        boxes = np.array([region.box_xyxy for region in regions], np.float32).reshape(-1, 4)
        return Sample(place, np.asarray(image.rgb), boxes, [region.caption for region in regions])
