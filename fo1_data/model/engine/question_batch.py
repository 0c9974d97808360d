"""The questions in flight, and the decoder passes over their texts.

Active questions fill slots 0 to n - 1 without gaps: the last question moves into the slot of a finished one.
So a batch never waits for its longest answer, and a step costs only the questions that still generate.

Shapes: n questions, Q tokens of each in a pass, W wanted tokens of each, D language model width.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from fo1_data.model.engine.active_question import ActiveQuestion, HeadGroup, group_by_head
from fo1_data.model.engine.prefix_cache import PrefixStack
from fo1_data.model.engine.shared_attention import Grouping
from fo1_data.model.engine.tail_pass import TailPass


class QuestionBatch:
    """Slots for questions over one stack of prefixes at a time."""

    def __init__(self, tail_pass: TailPass) -> None:
        self._pass, self._tails = tail_pass, tail_pass.tails
        self.active: list[ActiveQuestion] = []
        # The prefix of every active question must be among them.
        self.stack: PrefixStack | None = None

    def holds(self, prefixes: Iterable[int]) -> bool:
        """True if all these prefixes are in the stack."""
        return self.stack is not None and self.stack.row.keys() >= set(prefixes)

    def admit(self, questions: list[ActiveQuestion]) -> list[tuple[ActiveQuestion, Tensor]]:
        """Put questions into free slots and run their inputs.

        The start that the questions of a HeadGroup share runs once. Returns each question with the states
        (W, D) from which its first W tokens are scored or chosen, W its `num_first_steps`.
        """
        first, end = len(self.active), len(self.active) + len(questions)
        groups = sorted(group_by_head(questions), key=lambda group: group.length == 0)
        leaders = [group.questions[0] for group in groups]
        questions = leaders + [follower for group in groups for follower in group.questions[1:]]
        self.active += questions
        self._tails.reserve(end, max(len(question.input_ids) for question in questions))
        self._run_heads(groups, first)
        rests = [question.input_ids[question.num_cached :] for question in questions]
        num_first = [question.num_first_steps for question in questions]
        states_nWD = self._forward(rests, slice(first, end), max(num_first))
        for question, rest in zip(questions, rests, strict=True):
            question.num_cached += len(rest)
        return [(question, states_nWD[row, -num_first[row] :]) for row, question in enumerate(questions)]

    def release(self) -> list[ActiveQuestion]:
        """Free the slots of the questions that are done; returns these questions."""
        done = [question for question in self.active if question.is_done]
        if not done:
            return []
        num_left = len(self.active) - len(done)
        holes = [slot for slot in range(num_left) if self.active[slot].is_done]
        movers = [slot for slot in range(num_left, len(self.active)) if not self.active[slot].is_done]
        if movers:
            self._tails.move(movers, holes, max(self.active[slot].num_cached for slot in movers))
            for hole, mover in zip(holes, movers, strict=True):
                self.active[hole] = self.active[mover]
        del self.active[num_left:]
        return done

    def _run_heads(self, groups: list[HeadGroup], first: int) -> None:
        """Run each group's shared start in the slot of its first question, and copy it to the others.

        The first questions of all groups lie in the slots from `first`, the other questions behind them,
        group after group. Groups without a shared start come last.
        """
        heads = [group.questions[0].tail_ids[: group.length] for group in groups if group.length]
        if not heads:
            return
        self._forward(heads, slice(first, first + len(heads)), 1)
        follower = first + len(groups)
        for leader, group in enumerate(groups, start=first):
            followers = slice(follower, follower + len(group.questions) - 1)
            self._tails.copy_head(leader, followers, group.length)
            for question in group.questions:
                question.num_cached = group.length
            follower = followers.stop

    def _forward(self, rows: list[list[int]], slots: slice, num_wanted: int) -> Tensor:
        """Run token ids behind the tokens that these slots hold; returns each row's last states (n, W, D).

        Shorter rows are padded on the right. What padding writes is overwritten before it is read. A row of
        fewer than W = `num_wanted` ids has its first state several times in front.
        """
        assert self.stack is not None
        questions, device = self.active[slots], self.stack.bias.device
        length = max(map(len, rows))
        cached_n = torch.tensor([question.num_cached for question in questions])
        starts_n = torch.tensor([question.prompt.next_position for question in questions])
        ids_nQ = torch.tensor([row + [0] * (length - len(row)) for row in rows])
        places_nQ = cached_n[:, None] + torch.arange(length)
        extent = int(places_nQ.max()) + 1
        self._tails.reserve(slots.stop, extent)
        grouping = Grouping.of(
            [self.stack.row[question.prefix_number] for question in questions],
            [question.hidden_positions for question in questions],
            self.stack.bias,
            self._pass.num_heads,
        )
        on_host = torch.cat((ids_nQ, places_nQ, starts_n[:, None]), dim=1)
        ids_nQ, places_nQ, starts_n1 = on_host.to(device, non_blocking=True).split((length, length, 1), dim=1)
        wanted_nW = _wanted(rows, num_wanted)
        return self._pass.run(
            ids_nQ,
            places_nQ,
            starts_n1[:, 0],
            slots,
            extent,
            self.stack,
            grouping,
            None if wanted_nW is None else wanted_nW.to(device, non_blocking=True),
        )


def _wanted(rows: list[list[int]], num_wanted: int) -> Tensor | None:
    """(n, W): the places of the last W ids of each row; None if these are all ids of all rows."""
    if all(len(row) == num_wanted for row in rows):
        return None
    return torch.tensor([[max(len(row) - num_wanted + i, 0) for i in range(num_wanted)] for row in rows])
