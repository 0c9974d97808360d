"""Reading ahead: the order of the entries, one read each, and a bound on what waits."""

import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.corpus.rejects import reject_of
from fo1_data.labelling.pixel_gate import NotAwaited, PixelGate, Ticket
from fo1_data.labelling.read_ahead import (
    MAX_WAITING_PIXELS,
    MAX_WAITING_PIXELS_OF_GPU,
    ReadAhead,
    Reading,
)
from fo1_data.labelling.reading import ReadResult
from schemas.corpus import CorpusImage
from schemas.images import RejectStage


def _entries(name: str, count: int) -> list[CorpusImage]:
    return [CorpusImage(uri=f"{name}-{number}") for number in range(count)]


class Reader:
    """Gives a reject for each entry, so that a batch is a whole shard; counts reads."""

    def __init__(self, num_pixels: int = 0) -> None:
        self.reads: Counter[str] = Counter()
        self._num_pixels = num_pixels

    def read(self, entry: CorpusImage, before_pixels: Callable[[int], None]) -> ReadResult:
        self.reads[entry.uri] += 1
        if "broken" in entry.uri:
            raise RuntimeError(entry.uri)
        before_pixels(self._num_pixels)
        return ReadResult(None, [reject_of(entry, RejectStage.DECODE, "empty", "no bytes")])


def _names(ahead: ReadAhead, reading: Reading) -> list[str]:
    names: list[str] = []
    while (batch := ahead.next_batch(reading)) is not None:
        names += [reject.uri for reject in batch.rejects]
        assert batch.num_entries == len(batch.rejects)
    return names


@settings(deadline=None, max_examples=30)
@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=5),
    announced=st.lists(st.integers(0, 4), max_size=8),
    num_pixels=st.sampled_from([0, 10_000_000, 60_000_000]),
)
def test_every_shard_is_read_in_order_and_once_whatever_is_announced(
    sizes: list[int], announced: list[int], num_pixels: int
) -> None:
    """Also if the announced shard is not the next, comes twice, or never; and if no two images fit."""
    reader = Reader(num_pixels)
    ahead = ReadAhead(reader.read, batch_images=4)
    shards = [_entries(f"s{number}", size) for number, size in enumerate(sizes)]
    for number, shard in enumerate(shards):
        for other in announced[number::2]:
            if other < len(shards):
                ahead.announce(shards[other])
        reading = ahead.start(shard)
        assert _names(ahead, reading) == [entry.uri for entry in shard]
        ahead.finish(reading)


def test_an_announced_shard_is_read_while_another_is_in_work_and_not_again() -> None:
    reader = Reader()
    ahead = ReadAhead(reader.read, batch_images=4)
    first, second = _entries("a", 3), _entries("b", 3)
    reading = ahead.start(first)
    ahead.announce(second)
    deadline_s = time.monotonic() + 30
    while reader.reads["b-0"] == 0:
        assert time.monotonic() < deadline_s, "the announced shard is not read"
    assert _names(ahead, reading) == ["a-0", "a-1", "a-2"]
    assert _names(ahead, ahead.start(second)) == ["b-0", "b-1", "b-2"]
    assert set(reader.reads.values()) == {1}


@pytest.mark.parametrize(
    ("waiting_pixels", "count"), [(MAX_WAITING_PIXELS, 2), (MAX_WAITING_PIXELS_OF_GPU, 4)]
)
def test_beside_a_gpu_a_whole_batch_of_photographs_is_decoded_before_it_is_asked_for(
    waiting_pixels: int, count: int
) -> None:
    decoded, reader = threading.Semaphore(0), Reader(num_pixels=12_000_000)

    def read(entry: CorpusImage, before_pixels: Callable[[int], None]) -> ReadResult:
        result = reader.read(entry, before_pixels)
        decoded.release()
        return result

    ahead = ReadAhead(read, batch_images=4, waiting_pixels=waiting_pixels)
    reading = ahead.start(_entries("a", 12))
    try:
        for number in range(count):
            assert decoded.acquire(timeout=60), f"only {number} are decoded"
        if count < 4:
            assert not decoded.acquire(timeout=0.2)
    finally:
        ahead.finish(reading)


def test_what_reading_raises_comes_at_its_turn() -> None:
    ahead = ReadAhead(Reader().read, batch_images=4)
    broken = [*_entries("a", 1), CorpusImage(uri="broken")]
    ahead.announce(broken)
    before = ahead.start(_entries("b", 2))
    assert _names(ahead, before) == ["b-0", "b-1"]
    with pytest.raises(RuntimeError, match="broken"):
        _names(ahead, ahead.start(broken))


def test_pixels_that_wait_are_bounded_and_the_awaited_image_is_let_in() -> None:
    gate, held, waiting, awaited = PixelGate(100), Ticket(), Ticket(), Ticket()
    gate.enter(held, 80)
    entered = threading.Event()
    thread = threading.Thread(target=lambda: (gate.enter(waiting, 30), entered.set()), daemon=True)
    thread.start()
    gate.let_in(awaited)
    gate.enter(awaited, 500)
    assert not entered.is_set()
    gate.leave(awaited)
    gate.leave(held)
    assert entered.wait(30)

    dropped: Ticket = Ticket()
    gate.drop(dropped)
    with pytest.raises(NotAwaited):
        gate.enter(dropped, 500)
