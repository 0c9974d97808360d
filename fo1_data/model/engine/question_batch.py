"""The questions in flight, and the decoder passes that advance them.

Active questions fill slots 0 to n - 1 without gaps: the last question moves into the slot of a finished one.
So a batch never waits for its longest answer, and a step costs only the questions that still generate.

Shapes: n questions, Q tokens of each in a pass, A query heads, K key-value heads, G = A / K, E head width,
L tail tokens attended to, W wanted tokens of each, D language model width.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from fo1_data.model.engine.active_question import ActiveQuestion, HeadGroup, group_by_head
from fo1_data.model.engine.fused_decoder import FusedDecoder
from fo1_data.model.engine.prefix_cache import PrefixStack
from fo1_data.model.engine.shared_attention import (
    Grouping,
    HiddenPositions,
    attend_to_prefix,
    attend_to_tail,
)
from fo1_data.model.engine.tails import Tails
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.rotary import cos_sin, text_positions


class QuestionBatch:
    """Slots for questions over one stack of prefixes at a time."""

    def __init__(self, model: Fo1Model, decoder: FusedDecoder, tails: Tails) -> None:
        self._model, self._decoder = model, decoder
        self.active: list[ActiveQuestion] = []
        self._tails = tails
        self._stack: PrefixStack | None = None
        self._grouping: tuple[Grouping, HiddenPositions | None] | None = None
        self._cos, self._sin = self._rotation_tables(1)

    def holds(self, prefixes: Iterable[int]) -> bool:
        """True if all these prefixes are in the stack."""
        return self._stack is not None and self._stack.row.keys() >= set(prefixes)

    def use_stack(self, stack: PrefixStack) -> None:
        """Attend to these prefixes from now on; the prefix of every active question must be among them."""
        self._stack, self._grouping = stack, None

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
        self._grouping = None
        self._tails.reserve(end, max(len(question.input_ids) for question in questions))
        self._run_heads(groups, first)
        rests = [question.input_ids[question.num_cached :] for question in questions]
        num_first = [question.num_first_steps for question in questions]
        states_nWD = self._forward(rests, slice(first, end), max(num_first))
        for question, rest in zip(questions, rests, strict=True):
            question.num_cached += len(rest)
        return [(question, states_nWD[row, -num_first[row] :]) for row, question in enumerate(questions)]

    def step(self) -> Tensor:
        """Run the last token of every active question; returns the states (n, D) after it."""
        tokens = [[question.generation.token_ids[-1]] for question in self.active]
        states_n1D = self._forward(tokens, slice(0, len(self.active)), 1)
        for question in self.active:
            question.num_cached += 1
        return states_n1D[:, 0]

    def release(self) -> list[ActiveQuestion]:
        """Free the slots of the questions that are done; returns these questions."""
        done = []
        for slot in reversed(range(len(self.active))):
            if not self.active[slot].is_done:
                continue
            done.append(self.active[slot])
            last = self.active.pop()
            if slot < len(self.active):
                self._tails.move(len(self.active), slot, last.num_cached)
                self.active[slot] = last
            self._grouping = None
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
        assert self._stack is not None
        stack, tails, text, device = self._stack, self._tails, self._model.config.text, self._model.device
        grouping, hidden = self._group(slots)
        ids_nQ, places_nQ, positions_nQ, extent = self._locate_tokens(rows, slots)
        tails.reserve(slots.stop, extent)
        wanted_nW = self._wanted(rows, num_wanted)
        bias_nQL = _causal_bias(places_nQ, extent)
        last_bias_nWL = (
            bias_nQL if wanted_nW is None else _causal_bias(places_nQ.gather(1, wanted_nW), extent)
        )
        slots_n1 = torch.arange(slots.start, slots.start + len(rows), device=device)[:, None]
        num_heads, scale = text.num_key_value_heads, text.head_dim**-0.5
        last = text.num_hidden_layers - 1

        def attend(layer: int, queries_nQAE: Tensor, keys_nQKE: Tensor, values_nQKE: Tensor) -> Tensor:
            tails.write(layer, slots_n1, places_nQ, keys_nQKE, values_nQKE)
            queries_nQKGE = (queries_nQAE * scale).unflatten(2, (num_heads, -1))
            prefix = attend_to_prefix(
                queries_nQKGE, stack.keys[layer], stack.values[layer], stack.bias, grouping, hidden
            )
            bias = last_bias_nWL if layer == last else bias_nQL
            return attend_to_tail(queries_nQKGE, *tails.read(layer, slots, extent), bias, prefix)

        embeds_nQD = self._model.embed_tokens(ids_nQ)
        cos, sin = self._cos[positions_nQ], self._sin[positions_nQ]
        return self._decoder.run(embeds_nQD, cos, sin, attend, wanted_nW)

    def _wanted(self, rows: list[list[int]], num_wanted: int) -> Tensor | None:
        """(n, W): the places of the last W ids of each row; None if these are all ids of all rows."""
        if all(len(row) == num_wanted for row in rows):
            return None
        places = [[max(len(row) - num_wanted + i, 0) for i in range(num_wanted)] for row in rows]
        return torch.tensor(places).to(self._model.device, non_blocking=True)

    def _locate_tokens(self, rows: list[list[int]], slots: slice) -> tuple[Tensor, Tensor, Tensor, int]:
        """Ids (n, Q) padded with 0, their places in the tails, their positions in the prompt, and the extent.

        The extent is the number of tail tokens up to the last place. The tensors go to the device in one
        copy, for which the host does not wait.
        """
        questions, length = self.active[slots], max(map(len, rows))
        cached_n = torch.tensor([question.num_cached for question in questions])
        starts_n = torch.tensor([question.prompt.next_position for question in questions])
        ids_nQ = torch.tensor([row + [0] * (length - len(row)) for row in rows])
        places_nQ = cached_n[:, None] + torch.arange(length)
        positions_nQ = starts_n[:, None] + places_nQ
        self._reserve_positions(int(positions_nQ.max()) + 1)
        on_host = torch.stack((ids_nQ, places_nQ, positions_nQ))
        ids, places, positions = on_host.to(self._model.device, non_blocking=True)
        return ids, places, positions, int(places_nQ.max()) + 1

    def _group(self, slots: slice) -> tuple[Grouping, HiddenPositions | None]:
        """The prefix and the hidden positions of each question; stored until the active questions change."""
        assert self._stack is not None
        is_all = slots == slice(0, len(self.active))
        if is_all and self._grouping is not None:
            return self._grouping
        questions, device = self.active[slots], self._model.device
        rows = [self._stack.row[question.prefix_number] for question in questions]
        grouping = (
            Grouping.of(rows, device),
            HiddenPositions.of([question.hidden_positions for question in questions], device),
        )
        if is_all:
            self._grouping = grouping
        return grouping

    def _reserve_positions(self, length: int) -> None:
        if len(self._cos) < length:
            self._cos, self._sin = self._rotation_tables(2 * length)

    def _rotation_tables(self, length: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines (length, E) of text positions from 0."""
        model = self._model
        positions = text_positions(0, length).to(model.device)
        return cos_sin(positions, model.config.text)


def _causal_bias(places_nQ: Tensor, extent: int) -> Tensor:
    """(n, Q, L) float32 for tokens at these places of their tails: minus infinity on all later places."""
    is_later_nQL = torch.arange(extent, device=places_nQ.device) > places_nQ[:, :, None]
    return torch.zeros(is_later_nQL.shape, device=places_nQ.device).masked_fill_(is_later_nQL, float("-inf"))
