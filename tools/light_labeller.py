"""A labeller of Ray that only sleeps, in a process that imports little: many fit into a machine.

What it gets and gives is packed by the driver (`tools.many_ray_labellers`), so that the worker imports
nothing of fo1-data. Times are in seconds.
"""

import pickle
import random
import time
from collections.abc import Callable
from typing import Any


class Packed:
    """An answer that becomes an object of fo1-data when the driver takes it."""

    def __init__(self, data: bytes, idle_s: float | None = None, worked_s: float = 0.0) -> None:
        self._parts = (data, idle_s, worked_s)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return unpacked, self._parts


times_s: list[tuple[float | None, float]] = []
"""Of each answer that this process took: how long its labeller had no shard before, and then worked."""


def unpacked(data: bytes, idle_s: float | None, worked_s: float) -> Any:
    """The object, in the driver."""
    if worked_s:
        times_s.append((idle_s, worked_s))
    return pickle.loads(data)


class LightLabeller:
    """constants: answers that are always the same. shard_s: what a shard takes, a tenth more or less."""

    def __init__(self, constants: dict[str, bytes], shard_s: float) -> None:
        self._constants, self._shard_s = constants, shard_s
        self._draw = random.Random()
        self._free_s: float | None = None

    def constant(self, name: str) -> Packed:
        """One of the constants."""
        return Packed(self._constants[name])

    def work_done(self) -> Packed:
        """What a labeller tells of its progress; from a thread of its own."""
        return self.constant("work_done")

    def read_ahead(self, _shard: bytes) -> None:
        """Take the shard, as a real one."""

    def label_shard(self, _call: bytes, report: bytes) -> Packed:
        """Sleep, and answer with the report that came with the call."""
        began_s = time.monotonic()
        idle_s = None if self._free_s is None else began_s - self._free_s
        time.sleep(self._shard_s * self._draw.uniform(0.9, 1.1))
        self._free_s = time.monotonic()
        return Packed(report, idle_s, self._free_s - began_s)
