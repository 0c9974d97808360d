"""Chooses which waiting questions go into the batch next.

Free slots are filled a quarter of the batch at a time, because admitting costs a decoder pass. Questions
about one image are admitted one after another, so that few prefixes are stacked at a time.
"""

from collections import deque
from collections.abc import Sequence
from math import prod

from fo1_data.model.engine.active_question import ActiveQuestion
from fo1_data.model.engine.shapes import Shapes


class Schedule:
    """Waiting questions, image by image.

    num_slots: the size of the batch. max_prefix_tokens: the limit on stacked prefix tokens, padding
    included; a single prefix is always admitted. shapes: of the stack.
    """

    def __init__(
        self, questions: Sequence[ActiveQuestion], num_slots: int, max_prefix_tokens: int, shapes: Shapes
    ) -> None:
        by_prefix: dict[int, list[ActiveQuestion]] = {}
        for question in questions:
            by_prefix.setdefault(question.prefix_number, []).append(question)
        self.waiting = deque(question for group in by_prefix.values() for question in group)
        self._num_slots, self._max_prefix_tokens, self._shapes = num_slots, max_prefix_tokens, shapes

    def take(self, active: Sequence[ActiveQuestion]) -> list[ActiveQuestion]:
        """Remove and return the questions to admit beside the active ones; often there are none."""
        free = self._num_slots - len(active)
        if active and free < max(1, self._num_slots // 4):
            return []
        taken: list[ActiveQuestion] = []
        prefix_tokens = {question.prefix_number: len(question.prompt.embeds) for question in active}
        while self.waiting and len(taken) < free:
            candidate = self.waiting[0]
            stacked = prefix_tokens | {candidate.prefix_number: len(candidate.prompt.embeds)}
            size = prod(self._shapes.stack(len(stacked), max(stacked.values())))
            if prefix_tokens and size > self._max_prefix_tokens:
                break
            prefix_tokens = stacked
            taken.append(self.waiting.popleft())
        return taken
