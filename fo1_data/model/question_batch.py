"""Questions in flight: their tails' keys and values, and the decoding that moves them all on.

Active questions fill slots 0..n-1 without holes; one that ends gives its slot to the last, so a
batch never waits for its longest answer and a step costs what is still being said.

Shapes: n active questions, Q tokens of a step, K key-value heads, G query heads per key-value head,
E head width, S slots, L tail capacity, V vocabulary.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from fo1_data.model.decoder import run_decoder
from fo1_data.model.generation import Generation, RegionStep
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.prefix_cache import PrefixStack
from fo1_data.model.prompts import SpecialIds
from fo1_data.model.rotary import cos_sin, text_positions
from fo1_data.model.shared_attention import Grouping, attend_to_prefix, attend_to_tail, join

# Tails that agree in so many ids are taken to be of one kind.
_OPENING = 4


@dataclass
class Asked:
    """One question on its way. `prefix`: the number of its prefix; `start`: the first tail position."""

    order: int
    prefix: int
    num_regions: int
    start: int
    tail_ids: list[int]
    max_new_tokens: int
    generation: Generation = field(default_factory=Generation)
    in_objects: bool = False

    @property
    def capacity(self) -> int:
        """Tail tokens it can come to hold."""
        return len(self.tail_ids) + self.max_new_tokens


@dataclass(frozen=True)
class SharedHead:
    """Questions about one prefix whose tails start with the same `length` ids; each has more to come."""

    asked: list[Asked]
    length: int


def group_by_head(asked: list[Asked]) -> list[SharedHead]:
    """Group questions by prefix and opening words, and find how far each group's tails agree."""
    groups: dict[tuple[int, tuple[int, ...]], list[Asked]] = {}
    for one in asked:
        groups.setdefault((one.prefix, tuple(one.tail_ids[:_OPENING])), []).append(one)
    return [SharedHead(group, _agreement([one.tail_ids for one in group])) for group in groups.values()]


def _agreement(tails: list[list[int]]) -> int:
    """How many ids all tails start with, at least one id of each left over; 0 for a lone tail."""
    if len(tails) == 1:
        return 0
    shortest = min(map(len, tails)) - 1
    first = tails[0]
    return next((i for i in range(shortest) if any(tail[i] != first[i] for tail in tails)), shortest)


class QuestionBatch:
    """Slots for questions over one stack of prefixes at a time."""

    def __init__(self, model: Fo1Model, special: SpecialIds, num_slots: int) -> None:
        self._model = model
        self._special = special
        self._region_ids = torch.tensor([*special.regions, special.objects_close], device=model.device)
        self.num_slots = num_slots
        self.active: list[Asked] = []
        self._fill: list[int] = []
        self._tails: Tensor | None = None
        self._stack: PrefixStack | None = None
        self._grouping: Grouping | None = None
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
        """Take questions into free slots, run their tails, and choose their first tokens.

        Questions of one kind about one image start with the same words: these are run once.
        """
        first, end = len(self.active), len(self.active) + len(asked)
        groups = group_by_head(asked)
        asked = [group.asked[0] for group in groups] + [one for group in groups for one in group.asked[1:]]
        # Padding is written too: behind a shared head it may reach as far as the longest tail does.
        padding = max(len(one.tail_ids) for one in asked)
        self._reserve(max(one.capacity for one in [*self.active, *asked]) + padding, end)
        self._reserve_positions(max(one.start + one.capacity for one in asked) + padding)
        self.active += asked
        self._fill += [0] * len(asked)
        self._grouping = None
        self._run_heads(groups, first)
        heads = {id(one): group.length for group in groups for one in group.asked}
        rests = [one.tail_ids[heads[id(one)] :] for one in asked]
        hidden = self._forward(self._padded(rests), slice(first, end))
        last = torch.tensor([len(rest) - 1 for rest in rests], device=hidden.device)
        for slot, rest in enumerate(rests, start=first):
            self._fill[slot] += len(rest)
        self._choose(hidden[torch.arange(len(asked), device=hidden.device), last], asked)

    def _run_heads(self, groups: list["SharedHead"], first: int) -> None:
        """Run each group's shared start in its first member's slot and copy what that gives to the others.

        First members lie in the slots from `first`, the others behind them, group after group.
        """
        if not any(group.length for group in groups):
            return
        assert self._tails is not None
        self._forward(
            self._padded([g.asked[0].tail_ids[: g.length] for g in groups]), slice(first, first + len(groups))
        )
        follower = first + len(groups)
        for leader, group in enumerate(groups, start=first):
            others = slice(follower, follower + len(group.asked) - 1)
            head = self._tails[:, :, leader, :, : group.length]
            self._tails[:, :, others, :, : group.length] = head.unsqueeze(2)
            for slot in (leader, *range(others.start, others.stop)):
                self._fill[slot] = group.length
            follower = others.stop

    def _padded(self, rows: list[list[int]]) -> Tensor:
        """(n, Q) ids, shorter rows padded behind; what padding writes is overwritten before it is seen."""
        ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = torch.tensor(row, dtype=torch.long)
        return ids.to(self._model.device)

    def step(self) -> list[Asked]:
        """Move every active question on by one token; returns those that ended and frees their slots."""
        ended = self._release()
        if self.active:
            tokens = torch.tensor([[one.generation.token_ids[-1]] for one in self.active])
            hidden = self._forward(tokens.to(self._model.device), slice(0, len(self.active)))
            self._fill = [fill + 1 for fill in self._fill]
            self._choose(hidden[:, 0], self.active)
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

    def _forward(self, ids: Tensor, slots: slice) -> Tensor:
        """Run (n, Q) token ids of these slots after what the slots hold; returns (n, Q, D)."""
        assert self._stack is not None
        assert self._tails is not None
        stack, tails, text = self._stack, self._tails, self._model.config.text
        device, (num, length) = ids.device, ids.shape
        members, fill = self.active[slots], torch.tensor(self._fill[slots])
        grouping = self._group(slots, device)
        offsets = torch.arange(length)
        places = fill[:, None] + offsets
        extent = int(places.max()) + 1
        hidden_from = torch.arange(extent)[None, None, :] > places[:, :, None]
        bias = (
            torch.zeros(num, 1, length, extent).masked_fill_(hidden_from[:, None], float("-inf")).to(device)
        )
        starts = torch.tensor([one.start for one in members])
        positions = (starts[:, None] + places).to(device)
        cos, sin = self._tables[0][positions], self._tables[1][positions]
        slot_index = torch.arange(slots.start, slots.start + num, device=device)[:, None]
        place_index = places.to(device)
        heads, scale = text.num_key_value_heads, text.head_dim**-0.5

        def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            tails[0, layer].transpose(1, 2)[slot_index, place_index] = keys
            tails[1, layer].transpose(1, 2)[slot_index, place_index] = values
            scaled = (queries * scale).unflatten(2, (heads, -1))
            of_prefix = attend_to_prefix(scaled, stack.keys[layer], stack.values[layer], stack.bias, grouping)
            own_keys, own_values = tails[:, layer, slots, :, :extent]
            of_tail = attend_to_tail(scaled, own_keys, own_values, bias)
            return join(of_prefix, of_tail, queries.dtype)

        embeds = self._model.embed_tokens(ids)
        hidden = run_decoder(self._model.language_model, embeds, cos, sin, attend)
        assert hidden is not None
        return hidden

    def _group(self, slots: slice, device: torch.device) -> Grouping:
        assert self._stack is not None
        whole = slots == slice(0, len(self.active))
        if whole and self._grouping is not None:
            return self._grouping
        rows = [self._stack.row[one.prefix] for one in self.active[slots]]
        grouping = Grouping.of(rows, len(self._stack.row), device)
        if whole:
            self._grouping = grouping
        return grouping

    def _choose(self, hidden: Tensor, members: list[Asked]) -> None:
        """Greedy choice from (n, D) states, with the numbers that tell how sure it was."""
        logprobs = torch.log_softmax(self._model.logits(hidden).float(), dim=-1)
        best = logprobs.topk(2, dim=-1)
        entropy = -(logprobs.exp() * logprobs.nan_to_num(neginf=0.0)).sum(dim=-1)
        tokens = best.indices[:, 0].tolist()
        numbers = torch.stack(
            (best.values[:, 0], best.values[:, 0] - best.values[:, 1], entropy), dim=1
        ).tolist()
        pointing = [row for row, one in enumerate(members) if one.in_objects]
        over_regions = logprobs[pointing][:, self._region_ids].cpu().numpy() if pointing else None
        for row, (one, token, (logprob, margin, spread)) in enumerate(
            zip(members, tokens, numbers, strict=True)
        ):
            answer = one.generation
            if one.in_objects and over_regions is not None:
                choices = over_regions[pointing.index(row)]
                answer.region_steps.append(
                    RegionStep(len(answer.token_ids), choices[: one.num_regions], float(choices[-1]))
                )
            answer.token_ids.append(token)
            answer.logprobs.append(logprob)
            answer.margins.append(margin)
            answer.entropies.append(max(spread, 0.0))
            answer.finished = token == self._special.end_of_turn
            if token == self._special.objects_open:
                one.in_objects = True
            elif token == self._special.objects_close:
                one.in_objects = False
