"""The kinds of segments, by name; what one consists of is imported where it is chosen."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fo1_command import PRELOADED
from injectors import Clock
from ray_head import RayHead
from record import Segment

if TYPE_CHECKING:
    from studios import RealStudio


class Loop(Protocol):
    """A stretch of the loop that can be run under faults, again and again."""

    def run(self, segment: Segment, chance: random.Random, folder: Path, limit: int) -> None: ...


@dataclass
class Parts:
    """What outlives the segments: a clock, a Ray head, a real Label Studio."""

    clock: Clock
    head: RayHead
    stop_s: float | None
    _studio: "list[RealStudio]" = field(default_factory=list)

    @property
    def studio(self) -> "RealStudio":
        """A real Label Studio, not started yet."""
        from studios import RealStudio

        self._studio = self._studio or [RealStudio()]
        return self._studio[0]

    def stop(self) -> None:
        self.head.stop()
        for studio in self._studio:
            studio.stop()


@dataclass(frozen=True)
class Kind:
    """A kind of segment. `weight`: how often it is drawn. `modules`: what its processes begin with."""

    name: str
    weight: int
    make: Callable[[Parts], Loop]
    modules: tuple[str, ...] = ("label_driver",)


def _alone(parts: Parts) -> Loop:
    from labelling import Labelling

    return Labelling(None, parts.clock, parts.stop_s)


def _on_ray(parts: Parts) -> Loop:
    from labelling import Labelling

    return Labelling(parts.head, parts.clock, parts.stop_s)


def _into_store(parts: Parts) -> Loop:
    from storing import StoreLabelling

    return StoreLabelling(parts.clock, parts.stop_s)


def _reviewing(parts: Parts) -> Loop:
    from reviewing import Reviewing

    return Reviewing(parts.stop_s)


def _reviewing_there(parts: Parts) -> Loop:
    from reviewing import Reviewing

    return Reviewing(parts.stop_s, parts.studio)


def _whole(parts: Parts) -> Loop:
    from whole_loop import WholeLoop

    return WholeLoop(parts.stop_s, parts.clock)


def _whole_there(parts: Parts) -> Loop:
    from whole_loop import WholeLoop

    return WholeLoop(parts.stop_s, parts.clock, parts.studio)


_COMMANDS = ("label_driver", *PRELOADED)
KINDS = (
    Kind("label in one process", 6, _alone),
    Kind("label on Ray", 2, _on_ray),
    Kind("label into a store", 4, _into_store),
    Kind("push, review, pull, merge", 2, _reviewing, _COMMANDS),
    Kind("push, review, pull, merge with Label Studio", 1, _reviewing_there, _COMMANDS),
    Kind("whole loop", 4, _whole, _COMMANDS),
    Kind("whole loop with Label Studio", 1, _whole_there, _COMMANDS),
)
