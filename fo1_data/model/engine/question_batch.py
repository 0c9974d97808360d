"""Questions in flight: their tails' keys and values, and the decoding that moves them all on.

Active questions fill slots 0..n-1 without holes; one that ends gives its slot to the last, so a
batch never waits for its longest answer and a step costs what is still being said.

Shapes: n active questions, Q tokens of a step, K key-value heads, G query heads per key-value head,
E head width, S slots, L tail capacity, V vocabulary.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from fo1_data.model.decoder import run_decoder
from fo1_data.model.engine.asked import Asked, SharedHead, Step, group_by_head
from fo1_data.model.engine.generation import RegionStep
from fo1_data.model.engine.prefix_cache import PrefixStack
from fo1_data.model.engine.shared_attention import Grouping, Hidden, attend_to_prefix, attend_to_tail, join
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.prompts import SpecialIds
from fo1_data.model.rotary import cos_sin, text_positions


class QuestionBatch:
    """Slots for questions over one stack of prefixes at a time."""

    def __init__(self, model: Fo1Model, special: SpecialIds, num_slots: int) -> None:
        self._model = model
        self._special = special
        self._region_of = {token: region for region, token in enumerate(special.regions)}
        self._region_ids = torch.tensor([*special.regions, special.objects_close], device=model.device)
        self.num_slots = num_slots
        self.active: list[Asked] = []
        self._fill: list[int] = []
        self._tails: Tensor | None = None
        self._stack: PrefixStack | None = None
        self._grouping: tuple[Grouping, Hidden | None] | None = None
        self._tables = cos_sin(text_positions(0, 1).to(model.device), *self._rotary)

    @property
    def _rotary(self) -> tuple[Tensor, tuple[int, ...]]:
        return self._model.language_model.rotary_emb.inv_freq, self._model.config.text.mrope_section

    @property
    def nbytes(self) -> int:
        """Bytes that the tails hold now."""
        return self._tails.nbytes if self._tails is not None else 0

    def use_stack(self, stack: PrefixStack) -> None:
        """Attend to these prefixes from now on; every active question's must be among them."""
        self._stack, self._grouping = stack, None

    def admit(self, asked: list[Asked]) -> None:
        """Take questions into free slots, run their tails, score what is given and choose what follows.

        Questions of one kind about one image start with the same words: these are run once.
        """
        first, end = len(self.active), len(self.active) + len(asked)
        groups = sorted(group_by_head(asked), key=lambda group: group.length == 0)
        asked = [group.asked[0] for group in groups] + [one for group in groups for one in group.asked[1:]]
        # Padding is written too: behind a shared head it may reach as far as the longest tail does.
        padding = max(len(one.first_ids) for one in asked)
        self._reserve(max(one.capacity for one in [*self.active, *asked]) + padding, end)
        self._reserve_positions(max(one.start + one.capacity for one in asked) + padding)
        self.active += asked
        self._fill += [0] * len(asked)
        self._grouping = None
        self._run_heads(groups, first)
        heads = {id(one): group.length for group in groups for one in group.asked}
        rests = [one.first_ids[heads[id(one)] :] for one in asked]
        states = self._forward(rests, slice(first, end))
        rows: list[int] = []
        places: list[int] = []
        steps: list[Step] = []
        for row, (one, rest) in enumerate(zip(asked, rests, strict=True)):
            self._fill[first + row] += len(rest)
            told = list(self._first_steps(one))
            steps += told
            rows += [row] * len(told)
            places += range(len(rest) - len(told), len(rest))
        where = torch.tensor([rows, places]).to(states.device, non_blocking=True)
        # As many at a time as there are slots: the vocabulary makes rows wide.
        for begin in range(0, len(steps), self.num_slots):
            part = where[:, begin : begin + self.num_slots]
            self._tell(states[part[0], part[1]], steps[begin : begin + self.num_slots])

    def _first_steps(self, one: Asked) -> Iterator[Step]:
        in_objects = False
        for token in one.given:
            yield Step(one, token, in_objects)
            in_objects = self._still_in_objects(token, in_objects)
        if one.chooses:
            yield Step(one, None, in_objects)

    def _still_in_objects(self, token: int, before: bool) -> bool:
        if token in (self._special.objects_open, self._special.objects_close):
            return token == self._special.objects_open
        return before

    def _run_heads(self, groups: list["SharedHead"], first: int) -> None:
        """Run each group's shared start in its first member's slot and copy what that gives to the others.

        First members lie in the slots from `first`, the others behind them, group after group; groups
        that share nothing come last.
        """
        heads = [group.asked[0].tail_ids[: group.length] for group in groups if group.length]
        if not heads:
            return
        assert self._tails is not None
        self._forward(heads, slice(first, first + len(heads)))
        follower = first + len(groups)
        for leader, group in enumerate(groups, start=first):
            others = slice(follower, follower + len(group.asked) - 1)
            head = self._tails[:, :, leader, :, : group.length]
            self._tails[:, :, others, :, : group.length] = head.unsqueeze(2)
            for slot in (leader, *range(others.start, others.stop)):
                self._fill[slot] = group.length
            follower = others.stop

    def step(self) -> list[Asked]:
        """Move every active question on by one token; returns those that ended and frees their slots."""
        ended = self._release()
        if self.active:
            tokens = [[one.generation.token_ids[-1]] for one in self.active]
            states = self._forward(tokens, slice(0, len(self.active)))
            self._fill = [fill + 1 for fill in self._fill]
            self._tell(states[:, 0], [Step(one, None, one.in_objects) for one in self.active])
        return ended

    def _release(self) -> list[Asked]:
        ended = []
        for slot in reversed(range(len(self.active))):
            one = self.active[slot]
            if one.generation.finished or len(one.generation.token_ids) >= one.max_new_tokens:
                ended.append(one)
                last = len(self.active) - 1
                if slot != last and self._tails is not None:
                    filled = self._fill[last]
                    self._tails[:, :, slot, :, :filled] = self._tails[:, :, last, :, :filled].clone()
                    self.active[slot], self._fill[slot] = self.active[last], self._fill[last]
                self.active.pop()
                self._fill.pop()
                self._grouping = None
        return ended

    def _reserve(self, capacity: int, slots: int) -> None:
        """Make the tails at least (slots, capacity) large; they grow by doubling and keep their contents."""
        text = self._model.config.text
        held = self._tails
        have_slots, have_capacity = (held.shape[2], held.shape[4]) if held is not None else (0, 0)
        if slots <= have_slots and capacity <= have_capacity:
            return
        slots = max(slots, have_slots, min(2 * have_slots, self.num_slots))
        capacity = max(capacity, have_capacity)
        heads, width = text.num_key_value_heads, text.head_dim
        shape = (2, text.num_hidden_layers, slots, heads, capacity, width)
        grown = torch.zeros(shape, device=self._model.device, dtype=self._model.dtype)
        if held is not None:
            grown[:, :, :have_slots, :, :have_capacity] = held
        self._tails = grown

    def _reserve_positions(self, length: int) -> None:
        if self._tables[0].shape[0] < length:
            self._tables = cos_sin(text_positions(0, 2 * length).to(self._model.device), *self._rotary)

    def _forward(self, rows: list[list[int]], slots: slice) -> Tensor:
        """Run token ids of these slots after what the slots hold; returns (n, Q, D).

        Shorter rows are padded behind; what padding writes is overwritten before it is seen. Ids and
        places go to the device as one copy that the host does not wait for.
        """
        assert self._stack is not None
        assert self._tails is not None
        stack, tails, text, device = self._stack, self._tails, self._model.config.text, self._model.device
        num, length = len(rows), max(map(len, rows))
        grouping, hidden = self._group(slots, device)
        places_on_host = torch.tensor(self._fill[slots])[:, None] + torch.arange(length)
        starts = torch.tensor([one.start for one in self.active[slots]])
        padded = torch.tensor([[*row, *[0] * (length - len(row))] for row in rows])
        together = torch.stack((padded, places_on_host, starts[:, None] + places_on_host))
        ids, places, positions = together.to(device, non_blocking=True)
        extent = int(places_on_host.max()) + 1
        hidden_from = torch.arange(extent, device=device) > places[:, :, None]
        bias = torch.zeros(num, 1, length, extent, device=device)
        bias.masked_fill_(hidden_from[:, None], float("-inf"))
        cos, sin = self._tables[0][positions], self._tables[1][positions]
        slot_index = torch.arange(slots.start, slots.start + num, device=device)[:, None]
        heads, scale = text.num_key_value_heads, text.head_dim**-0.5

        def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            tails[0, layer].transpose(1, 2)[slot_index, places] = keys
            tails[1, layer].transpose(1, 2)[slot_index, places] = values
            scaled = (queries * scale).unflatten(2, (heads, -1))
            of_prefix = attend_to_prefix(
                scaled, stack.keys[layer], stack.values[layer], stack.bias, grouping, hidden
            )
            own_keys, own_values = tails[:, layer, slots, :, :extent]
            of_tail = attend_to_tail(scaled, own_keys, own_values, bias)
            return join(of_prefix, of_tail, queries.dtype)

        embeds = self._model.embed_tokens(ids)
        states = run_decoder(self._model.language_model, embeds, cos, sin, attend)
        assert states is not None
        return states

    def _group(self, slots: slice, device: torch.device) -> tuple[Grouping, Hidden | None]:
        assert self._stack is not None
        whole = slots == slice(0, len(self.active))
        if whole and self._grouping is not None:
            return self._grouping
        members = self.active[slots]
        rows = [self._stack.row[one.prefix] for one in members]
        found = (
            Grouping.of(rows, len(self._stack.row), device),
            Hidden.of([one.hidden for one in members], device),
        )
        if whole:
            self._grouping = found
        return found

    def _tell(self, states: Tensor, steps: list[Step]) -> None:
        """Score what is given and choose the rest greedily, from (n, D) states, with how sure it was.

        All numbers leave the device as one copy: the host waits for it once a step.
        """
        logprobs = torch.log_softmax(self._model.logits(states).float(), dim=-1)
        best = logprobs.topk(2, dim=-1)
        entropy = -(logprobs.exp() * logprobs.nan_to_num(neginf=0.0)).sum(dim=-1)
        chosen = best.indices[:, 0]
        if any(step.given is not None for step in steps):
            told = [-1 if step.given is None else step.given for step in steps]
            given = torch.tensor(told).to(chosen.device, non_blocking=True)
            chosen = torch.where(given < 0, chosen, given)
        logprob = logprobs.gather(1, chosen[:, None])[:, 0]
        other = torch.where(chosen == best.indices[:, 0], best.values[:, 1], best.values[:, 0])
        # Ids of tokens are exact in float32 up to 2**24.
        parts = [torch.stack((chosen.float(), logprob, logprob - other, entropy), dim=1).flatten()]
        pointing = any(step.in_objects for step in steps)
        if pointing:
            parts.append(logprobs[:, self._region_ids].flatten())
        watches = [
            (row, token)
            for row, step in enumerate(steps)
            if step.given is None and not step.asked.generation.watched
            for token in step.asked.watched
        ]
        if watches:
            rows, tokens = torch.tensor(watches).T.to(logprobs.device, non_blocking=True)
            parts.append(logprobs[rows, tokens])
        sizes = np.cumsum([part.numel() for part in parts])[:-1]
        numbers, *more = np.split(torch.cat(parts).cpu().numpy(), sizes)
        over_regions = more.pop(0).reshape(len(steps), -1) if pointing else None
        for (row, _), value in zip(watches, more.pop().tolist() if watches else (), strict=True):
            steps[row].asked.generation.watched.append(value)
        for row, (step, (token_id, *told_of)) in enumerate(
            zip(steps, numbers.reshape(len(steps), -1).tolist(), strict=True)
        ):
            token, answer = int(token_id), step.asked.generation
            if over_regions is not None and step.in_objects:
                self._point(step.asked, token, over_regions[row])
            answer.num_given += step.given is not None
            self._append(step.asked, token, *told_of)

    def _point(self, one: Asked, token: int, choices: np.ndarray) -> None:
        """Keep a choice inside `<objects>`; choices: log-probabilities of all region tokens and the stop."""
        named = self._region_of.get(token, -1)
        one.generation.region_steps.append(
            RegionStep(
                step=len(one.generation.token_ids),
                region_logprobs=choices[: one.num_regions].copy(),
                stop_logprob=float(choices[-1]),
                chosen=named if named < one.num_regions else -1,
            )
        )

    def _append(self, one: Asked, token: int, logprob: float, margin: float, entropy: float) -> None:
        answer = one.generation
        answer.token_ids.append(token)
        answer.logprobs.append(logprob)
        answer.margins.append(margin)
        answer.entropies.append(max(entropy, 0.0))
        answer.finished = token in (self._special.end_of_turn, one.last_token)
        one.in_objects = self._still_in_objects(token, one.in_objects)
