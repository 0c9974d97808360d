"""The questions in flight, and the decoder passes that move them on.

Active questions fill slots 0..n-1 without gaps. A finished question gives its slot to the last one, so
a batch never waits for its longest answer and a step costs only the questions that still generate.

Shapes: n active questions, Q tokens of a step, K key-value heads, G query heads per key-value head,
E head width, D width.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from fo1_data.model.decoder import run_decoder
from fo1_data.model.engine.active_question import ActiveQuestion, HeadGroup, group_by_head
from fo1_data.model.engine.prefix_cache import PrefixStack
from fo1_data.model.engine.shared_attention import Grouping, Hidden, attend_to_prefix, attend_to_tail, join
from fo1_data.model.engine.tails import Tails
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.rotary import cos_sin, text_positions


class QuestionBatch:
    """Slots for questions over one stack of prefixes at a time."""

    def __init__(self, model: Fo1Model, num_slots: int) -> None:
        self._model = model
        self.num_slots = num_slots
        self.active: list[ActiveQuestion] = []
        self._tails = Tails(model, num_slots)
        self._stack: PrefixStack | None = None
        self._grouping: tuple[Grouping, Hidden | None] | None = None
        self._position_tables = self._make_position_tables(1)

    @property
    def nbytes(self) -> int:
        """Bytes that the tails hold now."""
        return self._tails.nbytes

    def holds(self, prefixes: Iterable[int]) -> bool:
        """True if all these prefixes are in the present stack."""
        return self._stack is not None and self._stack.row.keys() >= set(prefixes)

    def use_stack(self, stack: PrefixStack) -> None:
        """Attend to these prefixes from now on; the prefix of every active question must be among them."""
        self._stack, self._grouping = stack, None

    def admit(self, questions: list[ActiveQuestion]) -> list[tuple[ActiveQuestion, Tensor]]:
        """Take questions into free slots and run their inputs.

        Questions of one kind about one image start with the same words, which run once. Returns each
        question with the states (Q, D) after its last Q input ids, those behind the shared words.
        """
        first, end = len(self.active), len(self.active) + len(questions)
        groups = sorted(group_by_head(questions), key=lambda group: group.length == 0)
        leaders = [group.questions[0] for group in groups]
        questions = leaders + [follower for group in groups for follower in group.questions[1:]]
        # Padding is written too: behind a shared head it may reach as far as the longest tail does.
        padding = max(len(question.input_ids) for question in questions)
        self._tails.reserve(end, max(question.capacity for question in [*self.active, *questions]) + padding)
        self._reserve_positions(
            max(question.prompt.next_position + question.capacity for question in questions) + padding
        )
        self.active += questions
        self._grouping = None
        self._run_heads(groups, first)
        rests = [question.input_ids[question.num_cached :] for question in questions]
        states = self._forward(rests, slice(first, end))
        for question, rest in zip(questions, rests, strict=True):
            question.num_cached += len(rest)
        return [(question, states[row, : len(rests[row])]) for row, question in enumerate(questions)]

    def step(self) -> Tensor:
        """Run the last token of every active question; the states (n, D) after it."""
        tokens = [[question.generation.token_ids[-1]] for question in self.active]
        states = self._forward(tokens, slice(0, len(self.active)))
        for question in self.active:
            question.num_cached += 1
        return states[:, 0]

    def release(self) -> list[ActiveQuestion]:
        """Free the slots of the questions that are done, and return these questions."""
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
        """Run each group's shared start in its first member's slot and copy the result to the others.

        First members lie in the slots from `first`, the others behind them, group after group; groups
        that share nothing come last.
        """
        heads = [group.questions[0].tail_ids[: group.length] for group in groups if group.length]
        if not heads:
            return
        self._forward(heads, slice(first, first + len(heads)))
        follower = first + len(groups)
        for leader, group in enumerate(groups, start=first):
            followers = slice(follower, follower + len(group.questions) - 1)
            self._tails.copy_head(leader, followers, group.length)
            for question in group.questions:
                question.num_cached = group.length
            follower = followers.stop

    def _forward(self, rows: list[list[int]], slots: slice) -> Tensor:
        """Run the token ids of these slots after what the slots hold; returns the states (n, Q, D).

        Shorter rows are padded behind. What padding writes is overwritten before it is read. Ids, places
        and positions go to the device in one copy that the host does not wait for.
        """
        assert self._stack is not None
        stack, tails, text, device = self._stack, self._tails, self._model.config.text, self._model.device
        num, length = len(rows), max(map(len, rows))
        questions = self.active[slots]
        grouping, hidden = self._group(slots, device)
        cached = torch.tensor([question.num_cached for question in questions])
        starts = torch.tensor([question.prompt.next_position for question in questions])
        places_on_host = cached[:, None] + torch.arange(length)
        padded = torch.tensor([[*row, *[0] * (length - len(row))] for row in rows])
        together = torch.stack((padded, places_on_host, starts[:, None] + places_on_host))
        ids_nQ, places_nQ, positions_nQ = together.to(device, non_blocking=True)
        extent = int(places_on_host.max()) + 1
        is_later = torch.arange(extent, device=device) > places_nQ[:, :, None]
        bias = torch.zeros(num, 1, length, extent, device=device)
        bias.masked_fill_(is_later[:, None], float("-inf"))
        cos, sin = self._position_tables[0][positions_nQ], self._position_tables[1][positions_nQ]
        slot_index = torch.arange(slots.start, slots.start + num, device=device)[:, None]
        heads, scale = text.num_key_value_heads, text.head_dim**-0.5

        def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            tails.write(layer, slot_index, places_nQ, keys, values)
            scaled = (queries * scale).unflatten(2, (heads, -1))
            prefix_part = attend_to_prefix(
                scaled, stack.keys[layer], stack.values[layer], stack.bias, grouping, hidden
            )
            tail_part = attend_to_tail(scaled, *tails.read(layer, slots, extent), bias)
            return join(prefix_part, tail_part, queries.dtype)

        embeds = self._model.embed_tokens(ids_nQ)
        states = run_decoder(self._model.language_model, embeds, cos, sin, attend)
        assert states is not None
        return states

    def _group(self, slots: slice, device: torch.device) -> tuple[Grouping, Hidden | None]:
        """Which prefix each question of these slots attends to; kept while the active questions stay."""
        assert self._stack is not None
        is_all = slots == slice(0, len(self.active))
        if is_all and self._grouping is not None:
            return self._grouping
        questions = self.active[slots]
        rows = [self._stack.row[question.prefix] for question in questions]
        grouping = (
            Grouping.of(rows, len(self._stack.row), device),
            Hidden.of([question.hidden_positions for question in questions], device),
        )
        if is_all:
            self._grouping = grouping
        return grouping

    def _reserve_positions(self, length: int) -> None:
        if self._position_tables[0].shape[0] < length:
            self._position_tables = self._make_position_tables(2 * length)

    def _make_position_tables(self, length: int) -> tuple[Tensor, Tensor]:
        model = self._model
        positions = text_positions(0, length).to(model.device)
        return cos_sin(positions, model.language_model.rotary_emb.inv_freq, model.config.text.mrope_section)
