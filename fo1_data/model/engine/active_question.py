"""A question while the engine answers it, and which questions start with the same words."""

from dataclasses import dataclass, field

from fo1_data.model.engine.generation import Generation
from fo1_data.model.engine.questions import Question
from fo1_data.model.region_fusion import PromptEmbeds

# Questions whose tails agree in this many ids are taken to be of one kind.
_OPENING_IDS = 4


@dataclass
class ActiveQuestion:
    """A question in flight.

    order: its place among the questions of the call. tail_ids: the ids of its text, which follow the
    prefix. max_new_tokens: as in `Question`, less where the forced tokens end the answer. num_cached: how
    many tail tokens have keys and values. in_objects: the next token lies within `<objects>`.
    """

    order: int
    question: Question
    tail_ids: list[int]
    max_new_tokens: int
    num_cached: int = 0
    generation: Generation = field(default_factory=Generation)
    in_objects: bool = False

    @property
    def prefix(self) -> int:
        """The number of the prefix that it follows."""
        return self.question.image.prefix_numbers[self.question.chunk]

    @property
    def prompt(self) -> PromptEmbeds:
        """The embeddings of its prefix."""
        return self.question.image.prompts[self.question.chunk]

    @property
    def hidden_positions(self) -> tuple[int, ...]:
        """Positions of the prefix that it must not attend to."""
        return tuple(self.prompt.region_places[region] for region in self.question.hidden_regions)

    @property
    def num_regions(self) -> int:
        """Regions in its prompt."""
        return self.question.image.regions_in(self.question.chunk)

    @property
    def capacity(self) -> int:
        """The most tail tokens it can have."""
        return len(self.tail_ids) + self.max_new_tokens

    @property
    def is_scored_only(self) -> bool:
        """True if no token is chosen after the forced ones."""
        return self.max_new_tokens <= len(self.question.forced_ids)

    @property
    def input_ids(self) -> list[int]:
        """The ids that run before the first choice: the tail, and each forced id that another id follows."""
        forced = self.question.forced_ids
        return [*self.tail_ids, *(forced[:-1] if self.is_scored_only else forced)]

    @property
    def is_done(self) -> bool:
        """True once the answer has ended or has reached its limit."""
        return self.generation.finished or len(self.generation.token_ids) >= self.max_new_tokens

    def restart(self) -> None:
        """Forget the answer so far."""
        self.generation, self.in_objects, self.num_cached = Generation(), False, 0


@dataclass(frozen=True)
class HeadGroup:
    """Questions about one prefix whose tails start with the same `length` ids; each tail is longer."""

    questions: list[ActiveQuestion]
    length: int


def group_by_head(questions: list[ActiveQuestion]) -> list[HeadGroup]:
    """Group questions by prefix, hidden positions and opening ids, and find each group's common start."""
    groups: dict[tuple[int, tuple[int, ...], tuple[int, ...]], list[ActiveQuestion]] = {}
    for question in questions:
        key = (question.prefix, question.hidden_positions, tuple(question.tail_ids[:_OPENING_IDS]))
        groups.setdefault(key, []).append(question)
    return [
        HeadGroup(group, _common_start([question.tail_ids for question in group]))
        for group in groups.values()
    ]


def _common_start(tails: list[list[int]]) -> int:
    """How many ids all tails start with, at least one id of each left over; 0 for a single tail."""
    if len(tails) == 1:
        return 0
    shortest = min(map(len, tails)) - 1
    first = tails[0]
    return next((i for i in range(shortest) if any(tail[i] != first[i] for tail in tails)), shortest)
