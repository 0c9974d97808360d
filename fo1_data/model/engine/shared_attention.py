"""Attention of many questions to the prefixes they share and to their own tails.

Each question attends to all of its image's prefix and causally to itself. The two parts are
computed apart, the prefix part once per image for all its questions, and joined by their
log-sum-exp, which is exact: softmax over a union is the weighted mean of softmaxes over its parts
(Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018). A question may be kept
from looking at single positions of its prefix.

Shapes: n questions, Q query tokens each, B images, q the most questions an image has here, K
key-value heads, G query heads per key-value head, E head width, P prefix length, L tail length.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Grouping:
    """Which image each question belongs to: question i sits at (row[i], column[i]) of a B x q table."""

    row: Tensor
    column: Tensor
    num_rows: int
    num_columns: int

    @classmethod
    def of(cls, rows: list[int], num_rows: int, device: torch.device) -> "Grouping":
        """From each question's image row."""
        filled = [0] * num_rows
        columns = []
        for row in rows:
            columns.append(filled[row])
            filled[row] += 1
        as_tensor = torch.tensor([rows, columns]).to(device, non_blocking=True)
        return cls(as_tensor[0], as_tensor[1], num_rows, max(filled, default=0))


@dataclass(frozen=True)
class Hidden:
    """Prefix positions that single questions do not see: question[i] may not look at position[i]."""

    question: Tensor
    position: Tensor

    @classmethod
    def of(cls, positions: Sequence[tuple[int, ...]], device: torch.device) -> "Hidden | None":
        """From each question's hidden positions; None where nothing is hidden."""
        pairs = [(index, place) for index, places in enumerate(positions) for place in places]
        if not pairs:
            return None
        as_tensor = torch.tensor(pairs).to(device, non_blocking=True)
        return cls(as_tensor[:, 0], as_tensor[:, 1])


@dataclass(frozen=True)
class Part:
    """An unnormalised softmax: weighted values (..., E), largest score and sum of weights (..., 1)."""

    values: Tensor
    largest: Tensor
    total: Tensor


def attend_to_prefix(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    bias: Tensor,
    grouping: Grouping,
    hidden: Hidden | None = None,
) -> Part:
    """The prefix part. queries (n, Q, K, G, E), already scaled; keys, values (B, K, P, E).

    bias: (B, 1, 1, P) float32, minus infinity where a shorter prefix is padded. Returns (n, K, G, Q, .).
    """
    _, length, heads, groups, width = queries.shape
    shape = (grouping.num_rows, grouping.num_columns, length, heads, groups, width)
    table = queries.new_zeros(shape)
    table[grouping.row, grouping.column] = queries
    # (B, K, q * G * Q, E): every head group's queries of an image against the image's own keys.
    folded = table.permute(0, 3, 1, 4, 2, 5).reshape(shape[0], heads, -1, width)
    scores = _scores(folded, keys, bias)
    if hidden is not None:
        by_question = scores.view(shape[0], heads, shape[1], groups, length, -1)
        row, column = grouping.row[hidden.question], grouping.column[hidden.question]
        by_question[row, :, column, :, :, hidden.position] = float("-inf")
    part = _part(scores, values)

    def unfold(tensor: Tensor) -> Tensor:
        spread = tensor.view(shape[0], heads, shape[1], groups, length, -1)
        return spread.permute(0, 2, 1, 3, 4, 5)[grouping.row, grouping.column]

    return Part(unfold(part.values), unfold(part.largest), unfold(part.total))


def attend_to_tail(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Part:
    """The questions' own part. queries (n, Q, K, G, E), already scaled; keys, values (n, K, L, E).

    bias: (n, 1, Q, L) float32, minus infinity where a token may not look. Returns (n, K, G, Q, .).
    """
    num, length, heads, groups, width = queries.shape
    folded = queries.permute(0, 2, 3, 1, 4).reshape(num, heads, groups * length, width)
    spread_bias = bias.expand(num, groups, length, -1).reshape(num, 1, groups * length, -1)
    part = _part(_scores(folded, keys, spread_bias), values)
    shape = (num, heads, groups, length, -1)
    return Part(part.values.view(shape), part.largest.view(shape), part.total.view(shape))


def _scores(queries: Tensor, keys: Tensor, bias: Tensor) -> Tensor:
    return torch.matmul(queries, keys.transpose(-1, -2)).float() + bias


def _part(scores: Tensor, values: Tensor) -> Part:
    largest = scores.amax(dim=-1, keepdim=True)
    weights = torch.exp(scores - largest)
    total = weights.sum(dim=-1, keepdim=True)
    return Part(torch.matmul(weights.to(values.dtype), values).float(), largest, total)


def join(first: Part, second: Part, dtype: torch.dtype) -> Tensor:
    """Two parts of one softmax to attended values: (n, K, G, Q, E) to (n, Q, K * G, E)."""
    largest = torch.maximum(first.largest, second.largest)
    share_first, share_second = torch.exp(first.largest - largest), torch.exp(second.largest - largest)
    total = first.total * share_first + second.total * share_second
    joined = (first.values * share_first + second.values * share_second) / total
    return joined.permute(0, 3, 1, 2, 4).flatten(2, 3).to(dtype)
