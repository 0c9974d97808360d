"""Attention of many questions to the prefixes that they share and to their own tails.

A question attends to its whole prefix and causally to its own tokens. The two parts are computed apart,
the prefix part in one product for all questions about a prefix, and joined by their log-sum-exp. This is
exact: the softmax over a union is the weighted mean of the softmaxes over its parts (Milakov and
Gimelshein, "Online normalizer calculation for softmax", 2018). Single positions of the prefix can be
hidden from a question.

Shapes: n questions, Q query tokens of each, S stacked prefixes, B of them in a table, M the most questions
that any of these has, K key-value heads, G query heads per key-value head, E head width, P prefix length, L
tail length, R rows of queries that meet the same keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Grouping:
    """Which prefix each question follows: question i is at (row_n[i], column_n[i]) of a (B, M) table.

    prefixes: the B prefixes of the stack from the first to the last that a question follows. question_BM: the
    question at each place of the table; 0 where there is none.
    """

    prefixes: slice
    row_n: Tensor
    column_n: Tensor
    question_BM: Tensor

    @classmethod
    def of(cls, prefixes: list[int], device: torch.device) -> "Grouping":
        """Build the table from the place in the stack of each question's prefix."""
        first, end = min(prefixes), max(prefixes) + 1
        rows = [prefix - first for prefix in prefixes]
        lengths = [0] * (end - first)
        columns = []
        for row in rows:
            columns.append(lengths[row])
            lengths[row] += 1
        indices_2n = torch.tensor([rows, columns])
        question_BM = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
        question_BM[indices_2n[0], indices_2n[1]] = torch.arange(len(rows))
        row_n, column_n = indices_2n.to(device, non_blocking=True)
        return cls(slice(first, end), row_n, column_n, question_BM.to(device, non_blocking=True))


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
class PrefixPart:
    """The attention to the prefixes alone: values (n, Q, K, G, E) and log-sum-exp (n, Q, K, G), float32."""

    values: Tensor
    log_sum_exp: Tensor


def attend_to_prefix(
    queries_nQKGE: Tensor,
    keys_SKPE: Tensor,
    values_SKPE: Tensor,
    bias_S11P: Tensor,
    grouping: Grouping,
    hidden: HiddenPositions | None = None,
) -> PrefixPart:
    """The prefix part of the attention of queries that are already scaled.

    bias_S11P: in the model's dtype, minus infinity on the padding of shorter prefixes.
    """
    _, num_tokens, heads, groups, width = queries_nQKGE.shape
    num_prefixes, most_questions = grouping.question_BM.shape
    keys_BKPE, values_BKPE, bias_B11P = (
        part[grouping.prefixes] for part in (keys_SKPE, values_SKPE, bias_S11P)
    )
    table_BMQKGE = queries_nQKGE[grouping.question_BM]
    # (B, K, M * G * Q, E): all queries that meet the same keys lie in one dimension.
    folded = table_BMQKGE.permute(0, 3, 1, 4, 2, 5).reshape(num_prefixes, heads, -1, width)
    bias_B1RP = bias_B11P.expand(-1, -1, folded.shape[2], -1)
    if hidden is not None:
        bias_B1RP = bias_B1RP.clone()
        row, column = grouping.row_n[hidden.question], grouping.column_n[hidden.question]
        bias_BMRP = bias_B1RP.view(num_prefixes, most_questions, groups * num_tokens, -1)
        bias_BMRP[row, column, :, hidden.position] = float("-inf")
    values, log_sum_exp = _attend(folded, keys_BKPE, values_BKPE, bias_B1RP)

    def by_question(part: Tensor) -> Tensor:
        """(B, K, M * G * Q, ...) to (n, Q, K, G, ...)."""
        unfolded = part.unflatten(2, (most_questions, groups, num_tokens))
        return unfolded.permute(0, 2, 4, 1, 3, *range(5, unfolded.dim()))[grouping.row_n, grouping.column_n]

    return PrefixPart(by_question(values), by_question(log_sum_exp))


def attend_to_tail(
    queries_nQKGE: Tensor, keys_nKLE: Tensor, values_nKLE: Tensor, bias_nQL: Tensor, prefix: PrefixPart
) -> Tensor:
    """The attended values (n, Q, K * G, E) of the whole attention, from the prefix part and the tails.

    The queries are already scaled. bias_nQL: float32, minus infinity where a token must not attend. The
    prefix takes part as one more key: its score is its log-sum-exp, its value what it attended to.
    """
    num, num_tokens, heads, groups, width = queries_nQKGE.shape
    rows = num_tokens * groups

    def by_head(part: Tensor) -> Tensor:
        """(n, Q, K, G, ...) to (n * K, Q * G, ...)."""
        return part.transpose(1, 2).reshape(num * heads, rows, *part.shape[4:])

    keys, values = (part.flatten(0, 1) for part in (keys_nKLE, values_nKLE))
    scores = torch.bmm(by_head(queries_nQKGE), keys.transpose(1, 2)).view(num, heads, num_tokens, groups, -1)
    scores = (scores.float() + bias_nQL[:, None, :, None]).view(num * heads, rows, -1)
    weights = torch.cat((scores, by_head(prefix.log_sum_exp)[..., None]), dim=-1).softmax(dim=-1)
    of_prefix = by_head(prefix.values) * weights[..., -1:]
    attended = torch.baddbmm(of_prefix.to(values.dtype), weights[..., :-1].to(values.dtype), values)
    return attended.view(num, heads, num_tokens, groups, width).transpose(1, 2).flatten(2, 3)


def _attend(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Attended values (B, K, R, E) of scaled queries (B, K, R, E), and their log-sum-exp (B, K, R), float32.

    keys, values: (B, K, P, E). bias: (B, 1, R, P).
    """
    if queries.device.type == "cpu":
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        attended, log_sum_exp = kernel(queries, keys, values, 0.0, False, attn_mask=bias, scale=1.0)
        return attended.float(), log_sum_exp
    scores = torch.matmul(queries, keys.transpose(-1, -2)).float() + bias
    log_sum_exp = scores.logsumexp(dim=-1, keepdim=True)
    weights = torch.exp(scores - log_sum_exp).to(values.dtype)
    return torch.matmul(weights, values).float(), log_sum_exp[..., 0]
