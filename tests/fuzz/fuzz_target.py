"""What is fuzzed: a source of odd inputs with a property that holds for every one of them."""

import random
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Broken(AssertionError):
    """The property does not hold for an input. about: what kind of input."""

    about = "not so at"


class Runner(Protocol):
    """Makes one input by chance, uses it, and returns what became of it in a few words (they are counted).

    Raises Broken, or whatever the code under test raised, where the property does not hold.
    """

    def __call__(self, chance: random.Random) -> str: ...


@dataclass(frozen=True)
class Target:
    """A part of the project. share: of all inputs. begin: makes a runner that works in a folder of its own.

    may_end: an input may end the process, because other software reads it.
    """

    name: str
    holds: str
    share: float
    begin: "Begin"
    may_end: bool = False


class Begin(Protocol):
    def __call__(self, folder: Path) -> AbstractContextManager[Runner]: ...


def check(holds: bool, *words: object) -> None:
    """Raise Broken with these words unless something holds."""
    if not holds:
        raise Broken(" ".join(map(str, words))[:600])
