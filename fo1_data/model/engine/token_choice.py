"""Turns decoder states into answer tokens: scores a forced token or chooses greedily, with the certainty.

All figures of a step reach the CPU in one transfer, the only synchronisation of a decoding step.

Shapes: N states, D language model width, V vocabulary, R region tokens. Z = R + 1: the region tokens and
`</objects>`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fo1_data.model.engine.active_question import ActiveQuestion
from fo1_data.model.engine.generation import RegionStep
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.prompts import SpecialIds


@dataclass(frozen=True)
class TokenStep:
    """The next token of a question.

    forced_id: the token id to score, or None to choose the most probable token. in_objects: True if the
    token lies within `<objects>`.
    """

    question: ActiveQuestion
    forced_id: int | None
    in_objects: bool

    @classmethod
    def following(cls, question: ActiveQuestion) -> "TokenStep":
        """The step that chooses the question's next token."""
        return cls(question, None, question.in_objects)


class TokenChooser:
    """Scores and chooses tokens, and records them in the generations of their questions.

    max_rows: the limit on states processed at a time, because a row of logits is as wide as the vocabulary.
    """

    def __init__(self, model: Fo1Model, special: SpecialIds, max_rows: int) -> None:
        self._model, self._special, self._max_rows = model, special, max_rows
        self._region_of_id = {token: region for region, token in enumerate(special.regions)}
        self._list_ids_Z = torch.tensor([*special.regions, special.objects_close], device=model.device)

    def choose_first(self, admitted: Sequence[tuple[ActiveQuestion, Tensor]]) -> None:
        """Score the forced tokens of newly admitted questions, and choose the first token after them.

        admitted: each question with a state for each of these tokens, (W, D).
        """
        steps = [step for question, _ in admitted for step in self._first_steps(question)]
        self.choose(torch.cat([states_WD for _, states_WD in admitted]), steps)

    def choose(self, states_ND: Tensor, steps: list[TokenStep]) -> None:
        """Add each step's token to the generation of its question, from the decoder states before it."""
        for begin in range(0, len(steps), self._max_rows):
            end = begin + self._max_rows
            self._choose_rows(states_ND[begin:end], steps[begin:end])

    def _first_steps(self, question: ActiveQuestion) -> Iterator[TokenStep]:
        """A step for every forced id, then the first choice unless the forced tokens are the whole answer."""
        in_objects = False
        for token in question.question.forced_ids:
            yield TokenStep(question, token, in_objects)
            in_objects = self._is_in_objects(token, in_objects)
        if not question.is_scored_only:
            yield TokenStep(question, None, in_objects)

    def _choose_rows(self, states_ND: Tensor, steps: list[TokenStep]) -> None:
        logprobs_NV = torch.log_softmax(self._model.logits(states_ND).float(), dim=-1)
        pointing = [row for row, step in enumerate(steps) if step.in_objects]
        watching = [
            (row, token)
            for row, step in enumerate(steps)
            if step.forced_id is None and not step.question.generation.watched_logprobs
            for token in step.question.question.watched_ids
        ]
        parts = [_figures(logprobs_NV, steps).flatten()]
        if pointing:
            rows = torch.tensor(pointing).to(logprobs_NV.device, non_blocking=True)
            parts.append(logprobs_NV[rows[:, None], self._list_ids_Z].flatten())
        if watching:
            rows, columns = torch.tensor(watching).T.to(logprobs_NV.device, non_blocking=True)
            parts.append(logprobs_NV[rows, columns])
        num_figures, num_list = 4 * len(steps), len(pointing) * len(self._list_ids_Z)
        figures, of_lists, watched = np.split(
            torch.cat(parts).cpu().numpy(), [num_figures, num_figures + num_list]
        )
        list_logprobs = dict(zip(pointing, of_lists.reshape(-1, len(self._list_ids_Z)), strict=True))
        for (row, _), logprob in zip(watching, watched.tolist(), strict=True):
            steps[row].question.generation.watched_logprobs.append(logprob)
        figures_N4 = figures.reshape(-1, 4).tolist()
        for row, (step, (token, *certainty)) in enumerate(zip(steps, figures_N4, strict=True)):
            if row in list_logprobs:
                self._record_region(step.question, int(token), list_logprobs[row])
            step.question.generation.num_forced += step.forced_id is not None
            self._record(step.question, int(token), *certainty)

    def _record_region(self, question: ActiveQuestion, token: int, logprobs_Z: np.ndarray) -> None:
        region = self._region_of_id.get(token, -1)
        question.generation.region_steps.append(
            RegionStep(
                step=len(question.generation.token_ids),
                region_logprobs=logprobs_Z[: question.num_regions],
                stop_logprob=float(logprobs_Z[-1]),
                chosen=region if region < question.num_regions else -1,
            )
        )

    def _record(
        self, question: ActiveQuestion, token: int, logprob: float, margin: float, entropy: float
    ) -> None:
        generation = question.generation
        generation.token_ids.append(token)
        generation.logprobs.append(logprob)
        generation.margins.append(margin)
        generation.entropies.append(max(entropy, 0.0))
        generation.finished = token in (self._special.end_of_turn, question.question.stop_id)
        question.in_objects = self._is_in_objects(token, question.in_objects)

    def _is_in_objects(self, token: int, before: bool) -> bool:
        if token in (self._special.objects_open, self._special.objects_close):
            return token == self._special.objects_open
        return before


def _figures(logprobs_NV: Tensor, steps: list[TokenStep]) -> Tensor:
    """(N, 4) float32: the token id (exact below 2^24), its log-probability and margin, and the entropy."""
    best = logprobs_NV.topk(2, dim=-1)
    entropy_N = -(logprobs_NV.exp() * logprobs_NV.nan_to_num(neginf=0.0)).sum(dim=-1)
    tokens_N = best.indices[:, 0]
    if any(step.forced_id is not None for step in steps):
        forced_ids = [-1 if step.forced_id is None else step.forced_id for step in steps]
        forced_N = torch.tensor(forced_ids).to(tokens_N.device, non_blocking=True)
        tokens_N = torch.where(forced_N < 0, tokens_N, forced_N)
    logprob_N = logprobs_NV.gather(1, tokens_N[:, None])[:, 0]
    other_N = torch.where(tokens_N == best.indices[:, 0], best.values[:, 1], best.values[:, 0])
    return torch.stack((tokens_N.float(), logprob_N, logprob_N - other_N, entropy_N), dim=1)
