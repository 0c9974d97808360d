"""Attention of many questions to the prefixes that they share and to their own tails.

A question attends to its whole prefix and causally to its own tokens. The two parts are computed apart,
the prefix part in one product for all questions about a prefix, and joined by their log-sum-exp. This is
exact: the softmax over a union is the weighted mean of the softmaxes over its parts (Milakov and
Gimelshein, "Online normalizer calculation for softmax", 2018). Single positions of the prefix can be
hidden from a question.

Shapes: n questions, Q query tokens of each, B prefixes, M the most questions that any of these prefixes has,
K key-value heads, G query heads per key-value head, E head width, P prefix length, L tail length.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Grouping:
    """Which prefix each question follows: question i is at (row_n[i], column_n[i]) of a (B, M) table."""

    row_n: Tensor
    column_n: Tensor
    num_rows: int
    num_columns: int

    @classmethod
    def of(cls, rows: list[int], num_rows: int, device: torch.device) -> "Grouping":
        """Build the table from the row of each question's prefix."""
        lengths = [0] * num_rows
        columns = []
        for row in rows:
            columns.append(lengths[row])
            lengths[row] += 1
        indices_2n = torch.tensor([rows, columns]).to(device, non_blocking=True)
        return cls(indices_2n[0], indices_2n[1], num_rows, max(lengths, default=0))


@dataclass(frozen=True)
class HiddenPositions:
    """Prefix positions hidden from single questions: question[i] does not attend to position[i]."""

    question: Tensor
    position: Tensor

    @classmethod
    def of(cls, positions: Sequence[tuple[int, ...]], device: torch.device) -> "HiddenPositions | None":
        """Collect the hidden positions of each question; None if there are none."""
        pairs = [(index, position) for index, hidden in enumerate(positions) for position in hidden]
        if not pairs:
            return None
        question, position = torch.tensor(pairs).T.to(device, non_blocking=True)
        return cls(question, position)


@dataclass(frozen=True)
class PartialSoftmax:
    """A softmax before normalisation: weighted values (..., E), largest score and sum of weights (..., 1)."""

    values: Tensor
    largest: Tensor
    total: Tensor


def attend_to_prefix(
    queries_nQKGE: Tensor,
    keys_BKPE: Tensor,
    values_BKPE: Tensor,
    bias_B11P: Tensor,
    grouping: Grouping,
    hidden: HiddenPositions | None = None,
) -> PartialSoftmax:
    """The prefix part of the attention; its tensors are (n, K, G, Q, E) and (n, K, G, Q, 1).

    The queries are already scaled. bias_B11P: float32, minus infinity on the padding of shorter prefixes.
    """
    _, num_tokens, heads, groups, width = queries_nQKGE.shape
    num_prefixes, most_questions = grouping.num_rows, grouping.num_columns
    table_BMQKGE = queries_nQKGE.new_zeros(num_prefixes, most_questions, num_tokens, heads, groups, width)
    table_BMQKGE[grouping.row_n, grouping.column_n] = queries_nQKGE
    # (B, K, M * G * Q, E): all queries that meet the same keys lie in one dimension.
    folded = table_BMQKGE.permute(0, 3, 1, 4, 2, 5).reshape(num_prefixes, heads, -1, width)
    folded_scores = _scores(folded, keys_BKPE, bias_B11P)

    def unfold(tensor: Tensor) -> Tensor:
        return tensor.view(num_prefixes, heads, most_questions, groups, num_tokens, -1)

    if hidden is not None:
        row, column = grouping.row_n[hidden.question], grouping.column_n[hidden.question]
        scores_BKMGQP = unfold(folded_scores)
        scores_BKMGQP[row, :, column, :, :, hidden.position] = float("-inf")

    def by_question(tensor: Tensor) -> Tensor:
        return unfold(tensor).transpose(1, 2)[grouping.row_n, grouping.column_n]

    part = _partial_softmax(folded_scores, values_BKPE)
    return PartialSoftmax(by_question(part.values), by_question(part.largest), by_question(part.total))


def attend_to_tail(
    queries_nQKGE: Tensor, keys_nKLE: Tensor, values_nKLE: Tensor, bias_n1QL: Tensor
) -> PartialSoftmax:
    """The questions' own part of the attention; its tensors are (n, K, G, Q, E) and (n, K, G, Q, 1).

    The queries are already scaled. bias_n1QL: float32, minus infinity where a token must not attend.
    """
    num, num_tokens, heads, groups, width = queries_nQKGE.shape
    folded = queries_nQKGE.permute(0, 2, 3, 1, 4).reshape(num, heads, groups * num_tokens, width)
    folded_bias = bias_n1QL.expand(num, groups, num_tokens, -1).reshape(num, 1, groups * num_tokens, -1)
    part = _partial_softmax(_scores(folded, keys_nKLE, folded_bias), values_nKLE)
    shape = (num, heads, groups, num_tokens, -1)
    return PartialSoftmax(part.values.view(shape), part.largest.view(shape), part.total.view(shape))


def _scores(queries: Tensor, keys: Tensor, bias: Tensor) -> Tensor:
    """float32 scores (..., queries, keys)."""
    return torch.matmul(queries, keys.transpose(-1, -2)).float() + bias


def _partial_softmax(scores: Tensor, values: Tensor) -> PartialSoftmax:
    largest = scores.amax(dim=-1, keepdim=True)
    weights = torch.exp(scores - largest)
    total = weights.sum(dim=-1, keepdim=True)
    return PartialSoftmax(torch.matmul(weights.to(values.dtype), values).float(), largest, total)


def join(first: PartialSoftmax, second: PartialSoftmax, dtype: torch.dtype) -> Tensor:
    """The attended values (n, Q, K * G, E) of a softmax, from its two parts."""
    largest = torch.maximum(first.largest, second.largest)
    scale_first, scale_second = torch.exp(first.largest - largest), torch.exp(second.largest - largest)
    total = first.total * scale_first + second.total * scale_second
    values_nKGQE = (first.values * scale_first + second.values * scale_second) / total
    return values_nKGQE.permute(0, 3, 1, 2, 4).flatten(2, 3).to(dtype)
