"""A question while the engine answers it, and groups of questions that start with the same tokens."""

from dataclasses import dataclass, field

from fo1_data.model.engine.generation import Generation
from fo1_data.model.engine.questions import Question
from fo1_data.model.region_fusion import PromptEmbeds

# Questions whose tails start with the same this many ids form a group.
_OPENING_IDS = 4


@dataclass
class ActiveQuestion:
    """A question in flight.

    order: its index among the questions of the call. tail_ids: the ids of its text, which follow the
    prefix. max_new_tokens: as in `Question`, but lower if the forced tokens end the answer. num_cached: the
    number of tail tokens with keys and values in the slot. in_objects: True if the next token lies within
    `<objects>`.
    """

    order: int
    question: Question
    tail_ids: list[int]
    max_new_tokens: int
    num_cached: int = 0
    generation: Generation = field(default_factory=Generation)
    in_objects: bool = False

    @property
    def prefix_number(self) -> int:
        """The number of its prefix in the engine."""
        return self.question.image.prefix_numbers[self.question.chunk]

    @property
    def prompt(self) -> PromptEmbeds:
        """Its prefix."""
        return self.question.image.prompts[self.question.chunk]

    @property
    def hidden_positions(self) -> tuple[int, ...]:
        """Positions of the prefix to which it must not attend."""
        return tuple(self.prompt.region_places[region] for region in self.question.hidden_regions)

    @property
    def num_regions(self) -> int:
        """The number of regions in its prompt."""
        return self.question.image.regions_in(self.question.chunk)

    @property
    def capacity(self) -> int:
        """The most tail tokens that it can have."""
        return len(self.tail_ids) + self.max_new_tokens

    @property
    def is_scored_only(self) -> bool:
        """True if the forced tokens are the whole answer."""
        return self.max_new_tokens <= len(self.question.forced_ids)

    @property
    def num_first_steps(self) -> int:
        """How many tokens are scored or chosen after its input: the forced ones, and the next one."""
        return len(self.question.forced_ids) + (not self.is_scored_only)

    @property
    def input_ids(self) -> list[int]:
        """The ids that run before the first choice: the tail, and the forced ids that another id follows."""
        forced = self.question.forced_ids
        return [*self.tail_ids, *(forced[:-1] if self.is_scored_only else forced)]

    @property
    def num_left(self) -> int:
        """How many tokens the answer may still get."""
        return 0 if self.generation.finished else self.max_new_tokens - len(self.generation.token_ids)

    @property
    def is_done(self) -> bool:
        """True if the answer has ended or has reached its limit."""
        return self.num_left <= 0

    def restart(self) -> None:
        """Discard the answer so far."""
        self.generation, self.in_objects, self.num_cached = Generation(), False, 0


@dataclass(frozen=True)
class HeadGroup:
    """Questions with the same prefix, whose tails share their first `length` ids; every tail is longer."""

    questions: list[ActiveQuestion]
    length: int


def group_by_head(questions: list[ActiveQuestion]) -> list[HeadGroup]:
    """Group questions by prefix, hidden positions and opening ids, and measure each group's shared start.

    The start of a question alone in its group is what it shares with the questions about other prefixes, so
    that all that is left of their tails has about one length and is hardly padded.
    """
    groups: dict[tuple[int, tuple[int, ...], tuple[int, ...]], list[ActiveQuestion]] = {}
    openings: dict[tuple[int, ...], list[list[int]]] = {}
    for question in questions:
        opening = tuple(question.tail_ids[:_OPENING_IDS])
        groups.setdefault((question.prefix_number, question.hidden_positions, opening), []).append(question)
        openings.setdefault(opening, []).append(question.tail_ids)
    return [
        HeadGroup(
            group,
            _shared_length(
                [question.tail_ids for question in group] if len(group) > 1 else openings[opening]
            ),
        )
        for (_, _, opening), group in groups.items()
    ]


def _shared_length(tails: list[list[int]]) -> int:
    """The number of ids with which all tails start, less than every tail's length; 0 for a single tail."""
    if len(tails) == 1:
        return 0
    shortest = min(map(len, tails)) - 1
    first = tails[0]
    return next((i for i in range(shortest) if any(tail[i] != first[i] for tail in tails)), shortest)
