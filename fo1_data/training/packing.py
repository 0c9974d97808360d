"""Several questions about an image in one sequence: the prefix once, then every question with its answer.

A token sees the prefix and what precedes it in its own question, nothing of other questions; each
question's positions go on from the prefix. So the packed loss is that of asking each question alone.

Shapes: P prefix length, S length of all questions together, L = P + S, B images, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from fo1_data.model.decoder import run_decoder
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.prompts import PromptTokenizer
from fo1_data.model.region_fusion import PromptEmbeds
from fo1_data.model.rotary import cos_sin
from fo1_data.training.samples.questions import Question

IGNORED = -100


@dataclass(frozen=True)
class PackedQuestions:
    """The questions of one image. All (S,) int64.

    ids: tokens; offsets: position of each after the prefix; owner: which question it belongs to;
    targets: the token that must follow, IGNORED where the answer does not decide it; weights: (S,) float32,
    how much each token's question counts (None: once).
    """

    ids: Tensor
    offsets: Tensor
    owner: Tensor
    targets: Tensor
    weights: Tensor | None = None

    def token_weights(self) -> Tensor:
        """(S,) what each token counts."""
        return self.weights if self.weights is not None else torch.ones(len(self.ids))

    @property
    def total(self) -> float:
        """What all answer tokens count together."""
        return float(self.token_weights()[self.targets != IGNORED].sum())


def pack_questions(
    tokenizer: PromptTokenizer, questions: Sequence[Question], weights: Sequence[float] | None = None
) -> PackedQuestions:
    """Tokenise questions and answers; the loss counts answers and the end of the turn only, each question
    by its weight."""
    ids: list[int] = []
    offsets: list[int] = []
    owner: list[int] = []
    targets: list[int] = []
    for number, question in enumerate(questions):
        tail = tokenizer.tail_ids(question.text)
        answer = [*_encode(tokenizer, question.answer), tokenizer.special.end_of_turn]
        # The last answer token is only a target.
        ids += tail + answer[:-1]
        offsets += range(len(tail) + len(answer) - 1)
        owner += [number] * (len(tail) + len(answer) - 1)
        targets += [IGNORED] * (len(tail) - 1) + answer
    each = None if weights is None else torch.tensor([weights[number] for number in owner])
    return PackedQuestions(
        torch.tensor(ids, dtype=torch.long),
        torch.tensor(offsets, dtype=torch.long),
        torch.tensor(owner, dtype=torch.long),
        torch.tensor(targets, dtype=torch.long),
        each,
    )


def _encode(tokenizer: PromptTokenizer, text: str) -> list[int]:
    return tokenizer.tokenizer(text, add_special_tokens=False)["input_ids"]


@dataclass(frozen=True)
class PackedBatch:
    """Sequences of several images, padded at the end.

    embeds: (B, L, D); positions: (3, B, L); visible: (B, L, L) bool; targets: (B, L);
    prefix_lengths: (B,); weights: (B, L) float32.
    """

    embeds: Tensor
    positions: Tensor
    visible: Tensor
    targets: Tensor
    prefix_lengths: list[int]
    weights: Tensor


def pack_batch(
    model: Fo1Model, prefixes: Sequence[PromptEmbeds], packed: Sequence[PackedQuestions]
) -> PackedBatch:
    """Join prefixes and questions; differentiable through the prefixes and the token embeddings."""
    lengths = [len(prefix.embeds) + len(one.ids) for prefix, one in zip(prefixes, packed, strict=True)]
    longest = max(lengths)
    embeds, positions, visible, targets, weights = [], [], [], [], []
    for prefix, one, length in zip(prefixes, packed, lengths, strict=True):
        tail = model.embed_tokens(one.ids.to(model.device))
        joined = torch.cat([prefix.embeds, tail])
        embeds.append(functional.pad(joined, (0, 0, 0, longest - length)))
        after = (prefix.next_position + one.offsets).expand(3, -1)
        positions.append(functional.pad(torch.cat([prefix.positions, after], dim=1), (0, longest - length)))
        visible.append(_visible(len(prefix.embeds), one.owner, longest))
        start = torch.full((len(prefix.embeds),), IGNORED)
        targets.append(functional.pad(torch.cat([start, one.targets]), (0, longest - length), value=IGNORED))
        weights.append(functional.pad(one.token_weights(), (len(prefix.embeds), longest - length)))
    return PackedBatch(
        embeds=torch.stack(embeds),
        positions=torch.stack(positions, dim=1).to(model.device),
        visible=torch.stack(visible).to(model.device),
        targets=torch.stack(targets).to(model.device),
        prefix_lengths=[len(prefix.embeds) for prefix in prefixes],
        weights=torch.stack(weights).to(model.device),
    )


def _visible(prefix_length: int, owner: Tensor, longest: int) -> Tensor:
    """(longest, longest) bool: which tokens each token sees. Padding sees itself, so that no row is empty."""
    padding = longest - prefix_length - len(owner)
    owners = torch.cat([torch.full((prefix_length,), -1), owner, torch.full((padding,), -2)])
    causal = torch.ones(longest, longest, dtype=torch.bool).tril()
    same = owners[:, None] == owners[None]
    of_prefix = (owners == -1)[None] & (owners >= -1)[:, None]
    return causal & (same | of_prefix)


class Observer:
    """Looks on while the decoder runs; the base looks at nothing."""

    def attention(self, layer: int, queries: Tensor, keys: Tensor, visible: Tensor) -> None:
        """Rotated queries and keys (B, H, L, E) of a layer."""


def decode_packed(
    model: Fo1Model, batch: PackedBatch, observer: Observer | None = None, recompute: bool = False
) -> Tensor:
    """Normed states (B, L, D); `recompute` trades time for memory on the way back."""
    num, length = batch.embeds.shape[:2]
    rotary = model.language_model.rotary_emb
    cos, sin = cos_sin(batch.positions.flatten(1), rotary.inv_freq, model.config.text.mrope_section)
    mask = batch.visible[:, None]

    def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        queries, keys, values = (part.transpose(1, 2) for part in (queries, keys, values))
        if observer is not None:
            observer.attention(layer, queries, keys, batch.visible)
        grouped = queries.shape[1] != keys.shape[1]
        attended = functional.scaled_dot_product_attention(queries, keys, values, mask, enable_gqa=grouped)
        return attended.transpose(1, 2)

    tables = (cos.view(num, length, -1), sin.view(num, length, -1))
    states = run_decoder(model.language_model, batch.embeds, *tables, attend, recompute=recompute)
    if states is None:
        raise RuntimeError("the decoder returned no states")
    return states


def answer_loss(
    model: Fo1Model,
    states: Tensor,
    targets: Tensor,
    token_weights: Tensor | None = None,
    weights: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Summed cross-entropy over all answer tokens of a batch, and their number.

    With `token_weights` (V,) each target counts by its token's weight, with `weights` (B, L) by its place,
    in both sums.
    """
    counted = targets != IGNORED
    wanted = targets[counted]
    logits = model.logits(states[counted]).float()
    each = token_weights[wanted] if token_weights is not None else torch.ones(len(wanted)).to(logits)
    each = each * weights[counted].to(each) if weights is not None else each
    return (functional.cross_entropy(logits, wanted, reduction="none") * each).sum(), each.sum()
