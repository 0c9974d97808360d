"""TODO-DOC."""

from dataclasses import dataclass, field

from fo1_data.model.engine.generation import Generation

# Tails that agree in so many ids are taken to be of one kind.
_OPENING = 4


@dataclass
class Asked:
    """One question on its way. `prefix`: the number of its prefix; `start`: the first tail position.

    given: the answer's first tokens, scored and not chosen; `max_new_tokens` counts them. hidden:
    positions of the prefix it may not look at. watched: tokens whose log-probabilities are kept at its
    first choice. last_token: ends the answer as the end of turn does.
    """

    order: int
    prefix: int
    num_regions: int
    start: int
    tail_ids: list[int]
    max_new_tokens: int
    given: tuple[int, ...] = ()
    hidden: tuple[int, ...] = ()
    watched: tuple[int, ...] = ()
    last_token: int | None = None
    generation: Generation = field(default_factory=Generation)
    in_objects: bool = False

    @property
    def capacity(self) -> int:
        """Tail tokens it can come to hold."""
        return len(self.tail_ids) + self.max_new_tokens

    @property
    def chooses(self) -> bool:
        """Whether tokens are chosen after the given ones."""
        return self.max_new_tokens > len(self.given)

    @property
    def first_ids(self) -> list[int]:
        """What is run before the first choice: the tail, and of what is given all that is followed."""
        return [*self.tail_ids, *(self.given if self.chooses else self.given[:-1])]

    def restart(self) -> None:
        """Forget what was answered."""
        self.generation, self.in_objects = Generation(), False


@dataclass(frozen=True)
class Step:
    """One state from which a token is told: a given one, or (None) the one to choose."""

    asked: Asked
    given: int | None
    in_objects: bool


@dataclass(frozen=True)
class SharedHead:
    """Questions about one prefix whose tails start with the same `length` ids; each has more to come."""

    asked: list[Asked]
    length: int


def group_by_head(asked: list[Asked]) -> list[SharedHead]:
    """Group questions by what they see and their opening words, and find how far each group's tails agree."""
    groups: dict[tuple[int, tuple[int, ...], tuple[int, ...]], list[Asked]] = {}
    for one in asked:
        groups.setdefault((one.prefix, one.hidden, tuple(one.tail_ids[:_OPENING])), []).append(one)
    return [SharedHead(group, _agreement([one.tail_ids for one in group])) for group in groups.values()]


def _agreement(tails: list[list[int]]) -> int:
    """How many ids all tails start with, at least one id of each left over; 0 for a lone tail."""
    if len(tails) == 1:
        return 0
    shortest = min(map(len, tails)) - 1
    first = tails[0]
    return next((i for i in range(shortest) if any(tail[i] != first[i] for tail in tails)), shortest)
