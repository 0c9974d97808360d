"""Encodes images in several threads of a CPU, while the engine's own thread decodes.

The towers of one image leave a second core idle for half of the time, and decoding nearly always. So each
core encodes images of its own, and the engine's thread helps as soon as it has nothing else to do.
"""

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue

import torch

from fo1_data.model.modeling import ImageFeatures
from fo1_data.model.processing import PreparedImage

Encode = Callable[[list[PreparedImage]], list[ImageFeatures]]

# More threads would wait for images: two batches are under way.
_MAX_THREADS = 4


class _Group:
    """Images that are encoded together, by the thread that takes them first. indices: which they are."""

    def __init__(self, encode: Encode, indices: list[int], images: list[PreparedImage]) -> None:
        self._encode, self.indices, self._images = encode, indices, images
        self._taken = threading.Lock()
        self._done = threading.Event()
        self._features: list[ImageFeatures] = []
        self._error: Exception | None = None

    @property
    def is_done(self) -> bool:
        return self._done.is_set()

    def run(self) -> None:
        """Encode the images, unless another thread has taken them."""
        if not self._taken.acquire(blocking=False):
            return
        try:
            with torch.inference_mode():
                self._features = self._encode(self._images)
        except Exception as error:
            self._error = error
        self._images = []
        self._done.set()

    def cancel(self) -> None:
        """Let nobody begin with it any more."""
        if self._taken.acquire(blocking=False):
            self._images = []

    def features(self) -> list[ImageFeatures]:
        """Waits until they are there. Raises what encoding raised."""
        self._done.wait()
        if self._error is not None:
            raise self._error
        return self._features


class Encoding:
    """The images of one call, while they are encoded."""

    def __init__(self, groups: list[_Group], queue: "SimpleQueue[_Group | None]") -> None:
        self._groups, self._queue = groups, queue

    def finish(self) -> list[ImageFeatures]:
        """The features in the order of the images. This thread helps. Raises MemoryError."""
        for group in self._groups:
            group.run()
        while not all(group.is_done for group in self._groups):
            try:
                later = self._queue.get_nowait()
            except Empty:
                break
            if later is not None:
                later.run()
        features: dict[int, ImageFeatures] = {}
        for group in self._groups:
            features |= zip(group.indices, group.features(), strict=True)
        return [features[index] for index in range(len(features))]

    def cancel(self) -> None:
        """Encode no more of these images."""
        for group in self._groups:
            group.cancel()


class EncodingThreads:
    """The threads that help to encode. There are none until `helping` finds more than one core to use."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[_Group | None] = SimpleQueue()
        self._helpers: list[threading.Thread] = []
        weakref.finalize(self, _end, self._queue, self._helpers)

    @property
    def num_helpers(self) -> int:
        """How many threads encode beside the caller's."""
        return len(self._helpers)

    def start(self, encode: Encode, images: Sequence[PreparedImage], groups: Sequence[list[int]]) -> Encoding:
        """Begin to encode images in groups of their indices.

        Without helpers nothing happens before `Encoding.finish`.
        """
        started = [_Group(encode, group, [images[index] for index in group]) for group in groups]
        if self._helpers:
            for group in started:
                self._queue.put(group)
        return Encoding(started, self._queue)

    @contextmanager
    def helping(self, device: torch.device) -> Iterator[None]:
        """During the block, the threads of torch work apart: each on images of its own. A CPU's only."""
        num_threads = torch.get_num_threads()
        num_workers = min(num_threads, _MAX_THREADS) if device.type == "cpu" else 1
        if num_workers == 1:
            yield
            return
        own_threads = num_threads // num_workers
        while len(self._helpers) < num_workers - 1:
            helper = threading.Thread(
                target=_help, args=(self._queue, own_threads), name="encode", daemon=True
            )
            self._helpers.append(helper)
            helper.start()
        torch.set_num_threads(own_threads)
        try:
            yield
        finally:
            torch.set_num_threads(num_threads)


def _help(queue: "SimpleQueue[_Group | None]", num_threads: int) -> None:
    torch.set_num_threads(num_threads)
    while (group := queue.get()) is not None:
        group.run()


def _end(queue: "SimpleQueue[_Group | None]", helpers: list[threading.Thread]) -> None:
    """End the threads: a thread in the middle of a kernel would bring a process down at its exit."""
    with suppress(Empty):
        while True:
            queue.get_nowait()
    for _ in helpers:
        queue.put(None)
    for helper in helpers:
        if helper is not threading.current_thread():
            helper.join()
