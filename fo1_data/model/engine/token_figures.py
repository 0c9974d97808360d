"""The next token of each decoder state and how certain it is, on the device.

Besides the logits, one float32 tensor as wide as the vocabulary is kept, for a bounded number of states at a
time.

Shapes: N states, D language model width, V vocabulary, C further tokens of interest.
"""

import torch
from torch import Tensor

from fo1_data.model.engine.wide_product import wide_product
from fo1_data.model.modeling import Fo1Model

# Columns of the figures before the log-probabilities of further tokens.
NUM_FIGURES = 4


class TokenFigures:
    """max_bytes: the limit on what is as wide as the vocabulary; a single state may exceed it."""

    def __init__(self, model: Fo1Model, max_bytes: int) -> None:
        self._model = model
        row_bytes = model.config.text.vocab_size * (torch.finfo(model.dtype).bits // 8 + 4)
        self._max_rows = max(1, max_bytes // row_bytes)

    def measure(
        self, states_ND: Tensor, columns_NC: Tensor, forced_N: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The token ids (N,) and the figures (N, 4 + C) float32 of the tokens after these states.

        columns_NC: further token ids. forced_N: ids to take instead of the most probable ones, or -1. The
        figures: the token id (exact below 2^24), its log-probability, its margin to the best other token, the
        entropy, and the log-probabilities of the further tokens.
        """
        parts = []
        for begin in range(0, len(states_ND), self._max_rows):
            rows = slice(begin, begin + self._max_rows)
            forced = None if forced_N is None else forced_N[rows]
            parts.append(
                _measure(wide_product(states_ND[rows], self._model.head_VD), columns_NC[rows], forced)
            )
        if len(parts) == 1:
            return parts[0]
        tokens, figures = zip(*parts, strict=True)
        return torch.cat(tokens), torch.cat(figures)


def _measure(logits_NV: Tensor, columns_NC: Tensor, forced_N: Tensor | None) -> tuple[Tensor, Tensor]:
    best = logits_NV.topk(2, dim=-1)
    (best_N, second_N), first_N = best.values.float().unbind(1), best.indices[:, 0]
    probs_NV = torch.softmax(logits_NV, dim=-1, dtype=torch.float32)
    # The most probable token has at least 1 / V, so its logarithm is exact enough for all others.
    log_sum_exp_N = best_N - probs_NV.gather(1, first_N[:, None])[:, 0].log()
    entropy_N = log_sum_exp_N - probs_NV.mul_(logits_NV).sum(dim=-1)
    tokens_N = first_N if forced_N is None else torch.where(forced_N < 0, first_N, forced_N)
    logit_N = logits_NV.gather(1, tokens_N[:, None])[:, 0].float()
    margin_N = logit_N - torch.where(tokens_N == first_N, second_N, best_N)
    columns_NC = logits_NV.gather(1, columns_NC).float() - log_sum_exp_N[:, None]
    figures_N4 = torch.stack((tokens_N.float(), logit_N - log_sum_exp_N, margin_N, entropy_N), dim=1)
    return tokens_N, torch.cat((figures_N4, columns_NC), dim=1)
