"""Reads images in threads ahead of the model, from one shard into the next.

How far ahead follows from what is measured: while the model works on a batch, the next batch is read, and as
many images beyond it as the model takes within the time of a read. Quick reads keep few images in memory,
slow ones use many threads. Decoded pixels and encoded bytes that wait are bounded.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from fo1_data.labelling.pixel_gate import PixelGate, Ticket
from fo1_data.labelling.reading import CarriedImage, ReadImage, ReadResult
from schemas.corpus import CorpusImage
from schemas.images import Reject

MAX_THREADS = 64
_MAX_BATCH_PIXELS = 50_000_000
# Decoded pixels that wait. Beside a GPU two batches of photographs (0.3 GB), so that the next one is whole
# when it is asked for (docs/clusters.md); a CPU takes seconds an image, so that two photographs are enough.
MAX_WAITING_PIXELS, MAX_WAITING_PIXELS_OF_GPU = 25_000_000, 100_000_000
_MAX_WAITING_BYTES = 256 << 20
_MAX_ANNOUNCED = 2
_MARGIN, _SPARE = 1.25, 2
_FORGETTING = 0.9

Read = Callable[[CorpusImage, Callable[[int], None]], ReadResult]


@dataclass
class ReadBatch:
    """Images in the order of the entries, and the rejects of all `num_entries` entries that were read."""

    images: list[ReadImage | CarriedImage] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    num_entries: int = 0

    @property
    def num_pixels(self) -> int:
        return sum(image.num_pixels for image in self.images)


@dataclass(frozen=True)
class _Read:
    ticket: Ticket
    result: Future[ReadResult]


class Reading:
    """The entries of a shard while they are read. seen: keys of the images so far, for the caller."""

    def __init__(self, entries: Sequence[CorpusImage]) -> None:
        self.entries = entries
        self.waiting: Iterator[CorpusImage] = iter(entries)
        self.reads: deque[_Read] = deque()
        self.batch = ReadBatch()
        self.seen: set[str] = set()


class ReadAhead:
    """Reads the entries of the shard in work, then those that are announced.

    `announce` may be called from any thread, everything else from one thread. A batch has at most
    `batch_images` images; it ends early once it holds many pixels. waiting_pixels: that are decoded and wait.
    """

    def __init__(self, read: Read, batch_images: int, waiting_pixels: int = MAX_WAITING_PIXELS) -> None:
        self._read, self._batch_images = read, batch_images
        self._pool = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="read")
        self._gate = PixelGate(waiting_pixels)
        self._pace = _Pace()
        self._lock = threading.RLock()
        self._present: Reading | None = None
        self._announced: deque[Reading] = deque()

    def announce(self, entries: Sequence[CorpusImage]) -> None:
        """Read these entries after those in work and those announced before, two lists at most."""
        with self._lock:
            self._announced.append(Reading(entries))
            while len(self._announced) > _MAX_ANNOUNCED:
                self._drop(self._announced.popleft())
            self._submit()

    def start(self, entries: Sequence[CorpusImage]) -> Reading:
        """The reading of the entries in work: an announced one if it is of this very list.

        What was announced before it is dropped; without one, all that is announced comes later.
        """
        with self._lock:
            self._drop(self._present)
            self._present = None
            if any(reading.entries is entries for reading in self._announced):
                while (reading := self._announced.popleft()).entries is not entries:
                    self._drop(reading)
                self._present = reading
            else:
                self._present = Reading(entries)
            self._submit()
            return self._present

    def finish(self, reading: Reading) -> None:
        """Read no more of these entries."""
        with self._lock:
            if self._present is reading:
                self._drop(reading)
                self._present = None

    def holds(self, reading: Reading) -> bool:
        """True if the entries are in work or announced."""
        with self._lock:
            return any(held is reading for held in self._in_order())

    def next_batch(self, reading: Reading) -> ReadBatch | None:
        """The next batch, which is waited for; None at the end. Raises what reading raised."""
        while reading.reads or self._submit_next(reading):
            if self._take(reading):
                return self._hand_out(reading)
        return self._hand_out(reading) if reading.batch.num_entries else None

    def ready_batch(self) -> tuple[Reading, ReadBatch] | None:
        """The next batch of the entries in work, or else of the announced ones, if it is read already."""
        with self._lock:
            for reading in self._in_order():
                while reading.reads and reading.reads[0].result.done():
                    if reading.reads[0].result.exception() is not None:
                        return None  # raised when its turn has come
                    if self._take(reading):
                        return reading, self._hand_out(reading)
                if reading.reads or self._submit_next(reading):
                    return None
                if reading.batch.num_entries:
                    return reading, self._hand_out(reading)
        return None

    def _take(self, reading: Reading) -> bool:
        """Move the result of the first read into the batch. True if the batch is complete."""
        first = reading.reads[0]
        self._gate.let_in(first.ticket)
        with self._pace.waiting():
            result = first.result.result()
        with self._lock:
            reading.reads.popleft()
            self._gate.leave(first.ticket)
            reading.batch.num_entries += 1
            reading.batch.rejects += result.rejects
            if result.image is not None:
                reading.batch.images.append(result.image)
            self._submit()
        is_large = reading.batch.num_pixels > _MAX_BATCH_PIXELS
        return len(reading.batch.images) == self._batch_images or is_large

    def _hand_out(self, reading: Reading) -> ReadBatch:
        batch, reading.batch = reading.batch, ReadBatch()
        self._pace.hands_out(batch.num_entries)
        return batch

    def _submit(self) -> None:
        """Start reads, the earliest first, up to the number that should be under way or wait."""
        num_ahead = self._batch_images + self._pace.num_ahead(self._batch_images)
        num_started = 0
        for reading in self._in_order():
            num_started += len(reading.reads)
            while num_started < num_ahead and self._submit_next(reading):
                num_started += 1

    def _submit_next(self, reading: Reading) -> bool:
        """Start the next read. False if there is none."""
        with self._lock:
            entry = next(reading.waiting, None)
            if entry is None:
                return False
            ticket = Ticket()
            reading.reads.append(_Read(ticket, self._pool.submit(self._run, entry, ticket)))
            return True

    def _in_order(self) -> list[Reading]:
        return [*([self._present] if self._present is not None else []), *self._announced]

    def _run(self, entry: CorpusImage, ticket: Ticket) -> ReadResult:
        started_s = time.monotonic()
        gate_s = 0.0

        def enter(num_pixels: int) -> None:
            nonlocal gate_s
            asked_s = time.monotonic()
            self._gate.enter(ticket, num_pixels)
            gate_s += time.monotonic() - asked_s

        result = self._read(entry, enter)
        self._pace.read(time.monotonic() - started_s - gate_s, result.num_bytes)
        return result

    def _drop(self, reading: Reading | None) -> None:
        if reading is not None:
            reading.waiting = iter(())
        while reading is not None and reading.reads:
            read = reading.reads.popleft()
            read.result.cancel()
            self._gate.drop(read.ticket)


class _Pace:
    """How long reads take and how fast images are asked for; the slowest read and largest file of late count.

    Readers that report at the same time may lose one of their figures, which does no harm.
    """

    def __init__(self) -> None:
        self._read_s = self._num_bytes = self._waited_s = 0.0
        self._worked_s = self._num_worked = 0.0
        self._handed_out_s: float | None = None

    def read(self, seconds: float, num_bytes: int) -> None:
        """An image of so many bytes was read and decoded."""
        self._read_s = max(seconds, _FORGETTING * self._read_s)
        self._num_bytes = max(num_bytes, _FORGETTING * self._num_bytes)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The model waits for a read during the block."""
        started_s = time.monotonic()
        yield
        self._waited_s += time.monotonic() - started_s

    def hands_out(self, num_images: int) -> None:
        """The model gets a batch: since the last one it has worked, less what it has waited."""
        now_s = time.monotonic()
        if self._handed_out_s is not None:
            worked_s = now_s - self._handed_out_s - self._waited_s
            self._worked_s = _FORGETTING * self._worked_s + worked_s
            self._num_worked = _FORGETTING * self._num_worked + num_images
        self._handed_out_s, self._waited_s = now_s, 0.0

    def num_ahead(self, batch_images: int) -> int:
        """How many images should be under way beside the next batch."""
        if not self._num_worked:
            return _SPARE
        image_s = max(self._worked_s / self._num_worked, 1e-4)
        fitting = int(_MAX_WAITING_BYTES / max(self._num_bytes, 1.0)) - batch_images
        return max(min(int(_MARGIN * self._read_s / image_s) + _SPARE, fitting, MAX_THREADS), 0)
