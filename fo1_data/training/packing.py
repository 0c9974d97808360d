"""Packing of several questions about an image into one sequence: the prefix, then questions with answers.

A token attends to the prefix and to earlier tokens of its own question, not to other questions; the positions
of each question continue from the prefix. So the packed loss equals that of each question in a sequence of
its own.

Shapes: B images, P prefix length, S length of all questions and answers of an image, L = P + S, D width,
H heads, E head width, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from fo1_data.model.decoder import DeepFeatures, join_deep, take_tokens
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.prompts import PromptTokenizer
from fo1_data.model.region_fusion import PromptEmbeds
from fo1_data.model.rotary import cos_sin
from fo1_data.training.samples.questions import TrainingQuestion

IGNORED = -100


@dataclass(frozen=True)
class PackedQuestions:
    """The questions of one image. All (S,) int64, `weights` (S,) float32.

    ids: tokens; offsets: position of each token after the prefix; owner: the number of its question;
    targets: the next token if it belongs to an answer, else IGNORED; weights: the loss weight of each token's
    question (None: all 1).
    """

    ids: Tensor
    offsets: Tensor
    owner: Tensor
    targets: Tensor
    weights: Tensor | None = None

    def token_weights(self) -> Tensor:
        """(S,) float32 loss weight of each token."""
        return self.weights if self.weights is not None else torch.ones(len(self.ids))

    @property
    def total(self) -> float:
        """Sum of the loss weights of all answer tokens."""
        return float(self.token_weights()[self.targets != IGNORED].sum())


def pack_questions(
    tokenizer: PromptTokenizer, questions: Sequence[TrainingQuestion], weights: Sequence[float] | None = None
) -> PackedQuestions:
    """Tokenise questions and answers of an image.

    The targets are the answers and the end of the turn. `weights`: loss weight of each question.
    """
    ids: list[int] = []
    offsets: list[int] = []
    owner: list[int] = []
    targets: list[int] = []
    for number, question in enumerate(questions):
        tail = tokenizer.tail_ids(question.text)
        answer = [*tokenizer.answer_ids(question.answer), tokenizer.special.end_of_turn]
        # The last answer token is only a target.
        ids += tail + answer[:-1]
        offsets += range(len(tail) + len(answer) - 1)
        owner += [number] * (len(tail) + len(answer) - 1)
        targets += [IGNORED] * (len(tail) - 1) + answer
    token_weights = None if weights is None else torch.tensor([weights[number] for number in owner])
    return PackedQuestions(
        torch.tensor(ids, dtype=torch.long),
        torch.tensor(offsets, dtype=torch.long),
        torch.tensor(owner, dtype=torch.long),
        torch.tensor(targets, dtype=torch.long),
        token_weights,
    )


@dataclass(frozen=True)
class PackedBatch:
    """Sequences of several images, padded at the end to the longest length L.

    positions: M-RoPE positions (time, row, column); visible: bool, which tokens (last axis) each token
    attends to; prefix_lengths: of each image; weights: float32 loss weights; deep: what the first layers add
    at the images' tokens.
    """

    embeds_BLD: Tensor
    positions_3BL: Tensor
    visible_BLL: Tensor
    targets_BL: Tensor
    prefix_lengths: list[int]
    weights_BL: Tensor
    deep: DeepFeatures | None = None


def pack_batch(
    model: Fo1Model, prefixes: Sequence[PromptEmbeds], packed: Sequence[PackedQuestions]
) -> PackedBatch:
    """Join prefixes and questions; differentiable through the prefixes and the token embeddings."""
    lengths = [
        len(prefix.embeds) + len(questions.ids) for prefix, questions in zip(prefixes, packed, strict=True)
    ]
    longest = max(lengths)
    embeds, positions, visible, targets, weights = [], [], [], [], []
    for prefix, questions, length in zip(prefixes, packed, lengths, strict=True):
        prefix_length, padding = len(prefix.embeds), longest - length
        tail = model.embed_tokens(questions.ids.to(model.device))
        embeds.append(functional.pad(torch.cat([prefix.embeds, tail]), (0, 0, 0, padding)))
        tail_positions = (prefix.next_position + questions.offsets).expand(3, -1)
        positions.append(functional.pad(torch.cat([prefix.positions, tail_positions], dim=1), (0, padding)))
        visible.append(_visible_tokens(prefix_length, questions.owner, longest))
        prefix_targets = torch.full((prefix_length,), IGNORED)
        joined_targets = torch.cat([prefix_targets, questions.targets])
        targets.append(functional.pad(joined_targets, (0, padding), value=IGNORED))
        weights.append(functional.pad(questions.token_weights(), (prefix_length, padding)))
    return PackedBatch(
        embeds_BLD=torch.stack(embeds),
        positions_3BL=torch.stack(positions, dim=1).to(model.device),
        visible_BLL=torch.stack(visible).to(model.device),
        targets_BL=torch.stack(targets).to(model.device),
        prefix_lengths=[len(prefix.embeds) for prefix in prefixes],
        weights_BL=torch.stack(weights).to(model.device),
        deep=join_deep([prefix.deep for prefix in prefixes], longest),
    )


def _visible_tokens(prefix_length: int, owner_S: Tensor, longest: int) -> Tensor:
    """(L, L) bool with L = `longest`: which tokens each token attends to.

    Padding attends to itself, so that no row is empty.
    """
    padding = longest - prefix_length - len(owner_S)
    owner_L = torch.cat([torch.full((prefix_length,), -1), owner_S, torch.full((padding,), -2)])
    causal_LL = torch.ones(longest, longest, dtype=torch.bool).tril()
    same_question_LL = owner_L[:, None] == owner_L[None]
    prefix_LL = (owner_L == -1)[None] & (owner_L >= -1)[:, None]
    return causal_LL & (same_question_LL | prefix_LL)


class AttentionObserver:
    """Sees the queries and keys of every layer while the decoder runs; this base class ignores them."""

    def attention(self, layer: int, queries_BHLE: Tensor, keys_BHLE: Tensor, visible_BLL: Tensor) -> None:
        """Called by each layer with its queries and keys after rotary embedding."""


def decode_packed(
    model: Fo1Model, batch: PackedBatch, observer: AttentionObserver | None = None, recompute: bool = False
) -> Tensor:
    """Run the decoder; returns normed states (B, L, D).

    `recompute`: compute activations again in the backward pass (less memory, more time).
    """
    return _decode(model, batch, observer, recompute, None)


def _decode(
    model: Fo1Model,
    batch: PackedBatch,
    observer: AttentionObserver | None,
    recompute: bool,
    wanted_BN: Tensor | None,
) -> Tensor:
    num_images, length = batch.embeds_BLD.shape[:2]
    cos, sin = cos_sin(batch.positions_3BL.flatten(1), model.config.text)
    # What is added to the scores, once for all layers.
    hidden_BLL = torch.zeros_like(batch.visible_BLL, dtype=batch.embeds_BLD.dtype)
    hidden_BLL.masked_fill_(~batch.visible_BLL, float("-inf"))

    def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        queries, keys, values = (part.transpose(1, 2) for part in (queries, keys, values))
        if observer is not None:
            observer.attention(layer, queries, keys, batch.visible_BLL)
        mask = hidden_BLL
        if wanted_BN is not None and queries.shape[2] != length:
            mask = take_tokens(hidden_BLL, wanted_BN)
        grouped = queries.shape[1] != keys.shape[1]
        attended = functional.scaled_dot_product_attention(
            queries, keys, values, mask[:, None], enable_gqa=grouped
        )
        return attended.transpose(1, 2)

    tables = (cos.view(num_images, length, -1), sin.view(num_images, length, -1))
    states: Tensor = model.language_model(
        batch.embeds_BLD, *tables, attend, deep=batch.deep, recompute=recompute, wanted_BN=wanted_BN
    )
    return states


def decode_answers(model: Fo1Model, batch: PackedBatch, recompute: bool = False) -> Tensor:
    """As `decode_packed`, but only the states of the answers' tokens, (N, D), in the order of the batch."""
    is_answer_BL = batch.targets_BL != IGNORED
    counts_B = is_answer_BL.sum(1)
    # Sequences with fewer answers ask for other tokens too.
    places_BN = is_answer_BL.int().argsort(dim=1, descending=True, stable=True)[:, : int(counts_B.max())]
    states_BND = _decode(model, batch, None, recompute, places_BN)
    return states_BND[torch.arange(places_BN.shape[1], device=counts_B.device) < counts_B[:, None]]


def answer_loss(
    model: Fo1Model,
    states_BLD: Tensor,
    targets_BL: Tensor,
    weights_V: Tensor | None = None,
    weights_BL: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Sum of the weighted cross-entropies of all answer tokens of a batch, and the sum of their weights.

    The weight of a target is its token's (`weights_V`) times its position's (`weights_BL`); None: all 1.
    states: of all tokens (B, L, D), or of the answers' alone, as of `decode_answers`.
    """
    is_answer = targets_BL != IGNORED
    targets = targets_BL[is_answer]
    logits = model.logits(states_BLD[is_answer] if states_BLD.dim() == 3 else states_BLD).float()
    weights = weights_V[targets] if weights_V is not None else torch.ones(len(targets)).to(logits)
    if weights_BL is not None:
        weights = weights * weights_BL[is_answer].to(weights)
    return (functional.cross_entropy(logits, targets, reduction="none") * weights).sum(), weights.sum()
