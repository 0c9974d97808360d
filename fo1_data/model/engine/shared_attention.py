"""Attention of many questions to the prefixes that they share and to their own tails.

A question attends to its whole prefix and causally to its own tokens. All queries about a prefix meet its
keys in one product. On a CPU the two parts are computed apart, that of the prefix by the flash kernel, and
joined by its log-sum-exp. This is exact: the softmax over a union is the weighted mean of the softmaxes over
its parts (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018). Elsewhere the scores of
both parts go through one softmax, which takes fewer kernels.

Shapes: n questions, Q query tokens of each, S stacked prefixes, B of them in a table, M the most questions
that any of these has, K key-value heads, G query heads per key-value head, A = K * G, E head width, P prefix
length, L tail length, R = Q * G rows of queries that a question has for a key-value head.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Grouping:
    """Which prefix each question follows, as indices between rows by question and a table by prefix.

    prefixes: the B prefixes of the stack from the first to the last that a question follows. table: for each
    place of the table (B, K, M) the row of (n, K), flat; row 0 where there is no question. places: for each
    row of (n, K) its place in the table, flat. bias: (B, 1, P), or (B, M, P) if positions are hidden from
    questions, in the model's dtype; minus infinity where a query must not attend.
    """

    prefixes: slice
    table: Tensor
    places: Tensor
    bias: Tensor

    @classmethod
    def of(
        cls,
        rows: Sequence[int],
        hidden: Sequence[tuple[int, ...]],
        bias_S1P: Tensor,
        num_heads: int,
        *,
        table_size: tuple[int, int] | None = None,
        num_questions: int | None = None,
    ) -> "Grouping":
        """Build the table from the place in the stack of each question's prefix, and its hidden positions.

        bias_S1P: of the stack. table_size: B and M if they must be larger than needed; B then starts at the
        first prefix. num_questions: n if it must be larger; further questions are at the first place.
        """
        first = 0 if table_size else min(rows)
        columns, lengths = [], [0] * (max(rows) + 1 - first)
        for row in rows:
            columns.append(lengths[row - first])
            lengths[row - first] += 1
        num_prefixes, most = table_size or (len(lengths), max(lengths))
        index_2n = torch.tensor([[row - first for row in rows], columns])
        question_BM = torch.zeros(num_prefixes, most, dtype=torch.long)
        question_BM[index_2n[0], index_2n[1]] = torch.arange(len(rows))
        head_K = torch.arange(num_heads)
        table = question_BM[:, None] * num_heads + head_K[:, None]
        places = torch.zeros(num_questions or len(rows), num_heads, dtype=torch.long)
        places[: len(rows)] = (index_2n[0][:, None] * num_heads + head_K) * most + index_2n[1][:, None]
        on_host = torch.cat((table.flatten(), places.flatten()))
        on_device = on_host.to(bias_S1P.device, non_blocking=True)
        prefixes = slice(first, first + num_prefixes)
        bias = bias_S1P[prefixes]
        if any(hidden):
            bias = _hide(bias, hidden, index_2n.T.tolist(), most)
        return cls(prefixes, on_device[: table.numel()], on_device[table.numel() :], bias)


def _hide(bias_B1P: Tensor, hidden: Sequence[tuple[int, ...]], places: list[list[int]], most: int) -> Tensor:
    """(B, M, P): the bias of each question, from the positions of its prefix that it must not see."""
    index = [
        (*place, position) for place, positions in zip(places, hidden, strict=True) for position in positions
    ]
    row, column, position = torch.tensor(index).T.to(bias_B1P.device, non_blocking=True)
    bias_BMP = bias_B1P.repeat(1, most, 1)
    bias_BMP[row, column, position] = float("-inf")
    return bias_BMP


class QuestionAttention:
    """The attention of the queries of one pass, the same for all layers but for keys and values.

    places_nQ: the place of each query token in its tail. extent: L.
    """

    def __init__(
        self, grouping: Grouping, places_nQ: Tensor, extent: int, num_heads: int, num_groups: int
    ) -> None:
        self._grouping = grouping
        self._num, self._num_tokens = places_nQ.shape
        self._heads, self._groups = num_heads, num_groups
        bias = grouping.bias
        self._on_cpu = bias.device.type == "cpu"
        num_prefixes, biases, length = bias.shape
        bias_B1RP = bias[:, None]
        if biases > 1:
            rows = self._num_tokens * num_groups
            expanded = bias[:, None, :, None].expand(-1, -1, -1, rows, -1)
            bias_B1RP = expanded.reshape(num_prefixes, 1, -1, length)
        self._prefix_bias = bias_B1RP
        if not self._on_cpu:
            self._prefix_bias = bias_B1RP.expand(-1, num_heads, -1, -1).flatten(0, 1)
        self._tail_bias = self._causal_bias(places_nQ, extent, bias.dtype)

    def _causal_bias(self, places_nQ: Tensor, extent: int, dtype: torch.dtype) -> Tensor:
        """(n * K, R, L): minus infinity on all places after the query's own."""
        is_later_nQL = torch.arange(extent, device=places_nQ.device) > places_nQ[:, :, None]
        bias_nQL = torch.zeros(is_later_nQL.shape, dtype=dtype, device=places_nQ.device)
        bias_nQL.masked_fill_(is_later_nQL, float("-inf"))
        bias_nKQGL = bias_nQL[:, None, :, None].expand(-1, self._heads, -1, self._groups, -1)
        return bias_nKQGL.reshape(self._num * self._heads, -1, extent)

    def attend(
        self,
        queries: Tensor,
        keys_SKPE: Tensor,
        values_SKPE: Tensor,
        keys_nKLE: Tensor,
        values_nKLE: Tensor,
    ) -> Tensor:
        """The attended values (n * Q, A * E) of queries (n * Q, A, E)."""
        num_rows, width = self._num * self._heads, queries.shape[-1]
        queries_nKRE = queries.view(self._num, self._num_tokens, self._heads, self._groups, width)
        queries_nKRE = queries_nKRE.transpose(1, 2).reshape(num_rows, -1, width)
        table = queries_nKRE.reshape(num_rows, -1).index_select(0, self._grouping.table)
        prefixes = self._grouping.prefixes
        keys, values = keys_SKPE[prefixes], values_SKPE[prefixes]
        attend = self._join_by_log_sum_exp if self._on_cpu else self._join_by_softmax
        attended = attend(
            table.view(*keys.shape[:2], -1, width), keys, values, queries_nKRE,
            keys_nKLE.flatten(0, 1), values_nKLE.flatten(0, 1), width**-0.5,
        )  # fmt: skip
        by_token = attended.view(self._num, self._heads, self._num_tokens, self._groups * width)
        return by_token.transpose(1, 2).reshape(self._num * self._num_tokens, -1)

    def _join_by_softmax(
        self, table_BKRE: Tensor, keys_BKPE: Tensor, values_BKPE: Tensor, queries: Tensor, keys: Tensor,
        values: Tensor, scale: float,
    ) -> Tensor:  # fmt: skip
        """queries: (n * K, R, E). keys, values: of the tails, (n * K, L, E)."""
        num_rows, rows, _ = queries.shape
        prefix_length = keys_BKPE.shape[2]
        table, prefix_keys, prefix_values = (
            part.flatten(0, 1) for part in (table_BKRE, keys_BKPE, values_BKPE)
        )
        of_table = torch.baddbmm(self._prefix_bias, table, prefix_keys.transpose(1, 2), alpha=scale)
        of_prefix = self._by_question(of_table, rows * prefix_length).view(num_rows, rows, -1)
        of_tail = torch.baddbmm(self._tail_bias, queries, keys.transpose(1, 2), alpha=scale)
        weights = torch.cat((of_prefix, of_tail), dim=-1).softmax(dim=-1)
        table_weights = weights[..., :prefix_length].index_select(0, self._grouping.table)
        from_table = torch.bmm(table_weights.view(len(table), -1, prefix_length), prefix_values)
        from_prefix = self._by_question(from_table, rows * values.shape[-1]).view_as(queries)
        return torch.baddbmm(from_prefix, weights[..., prefix_length:], values)

    def _join_by_log_sum_exp(
        self, table_BKRE: Tensor, keys_BKPE: Tensor, values_BKPE: Tensor, queries: Tensor, keys: Tensor,
        values: Tensor, scale: float,
    ) -> Tensor:  # fmt: skip
        """As `_join_by_softmax`. The prefix takes part in the tail's softmax as one more key.

        Its score is its log-sum-exp, its value what was attended to.
        """
        rows = queries.shape[1]
        bias_B1RP = self._prefix_bias.expand(-1, -1, table_BKRE.shape[2], -1)
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        attended, log_sum_exp = kernel(
            table_BKRE, keys_BKPE, values_BKPE, 0.0, False, attn_mask=bias_B1RP, scale=scale
        )
        from_prefix = self._by_question(attended, rows * values.shape[-1]).view_as(queries)
        of_prefix = self._by_question(log_sum_exp, rows).view(-1, rows, 1)
        of_tail = torch.baddbmm(self._tail_bias, queries, keys.transpose(1, 2), alpha=scale)
        weights = torch.cat((of_tail, of_prefix), dim=-1).softmax(dim=-1)
        from_prefix = (from_prefix * weights[..., -1:]).to(values.dtype)
        return torch.baddbmm(from_prefix, weights[..., :-1].to(values.dtype), values)

    def _by_question(self, table: Tensor, row_size: int) -> Tensor:
        """Rows (n * K, row_size) from a table (B, K, M * R, ...)."""
        return table.reshape(-1, row_size).index_select(0, self._grouping.places)
