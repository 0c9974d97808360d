"""Decoder states to answer tokens: each is scored or chosen greedily, with how sure the model was.

All figures of a step reach the CPU in one transfer, the only synchronisation of a decoding step.

Shapes: N states, D language model width, V vocabulary, R region tokens and the end of the list.
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
    """The next token of a question: the forced id to score, or None to choose the most probable token."""

    question: ActiveQuestion
    forced_id: int | None
    in_objects: bool

    @classmethod
    def following(cls, question: ActiveQuestion) -> "TokenStep":
        """The choice of the next token."""
        return cls(question, None, question.in_objects)


class TokenChooser:
    """Scores and chooses tokens and records them in the questions' generations.

    max_rows: the most states at a time, because a row of logits is as wide as the vocabulary.
    """

    def __init__(self, model: Fo1Model, special: SpecialIds, max_rows: int) -> None:
        self._model, self._special, self._max_rows = model, special, max_rows
        self._region_of_id = {token: region for region, token in enumerate(special.regions)}
        self._region_ids = torch.tensor([*special.regions, special.objects_close], device=model.device)

    def choose_first(self, admitted: Sequence[tuple[ActiveQuestion, Tensor]]) -> None:
        """Score the forced tokens of questions just admitted, and choose the first token after them.

        With each question come the states (Q, D) after its last Q input ids.
        """
        steps: list[TokenStep] = []
        states: list[Tensor] = []
        for question, states_QD in admitted:
            first_steps = list(self._first_steps(question))
            steps += first_steps
            states.append(states_QD[-len(first_steps) :])
        self.choose(torch.cat(states), steps)

    def choose(self, states_ND: Tensor, steps: list[TokenStep]) -> None:
        """Add the token of each step to its question's generation, from the decoder states before it."""
        for begin in range(0, len(steps), self._max_rows):
            end = begin + self._max_rows
            self._choose_rows(states_ND[begin:end], steps[begin:end])

    def _first_steps(self, question: ActiveQuestion) -> Iterator[TokenStep]:
        """Every forced id, then a choice unless the question is scored only."""
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
            parts.append(logprobs_NV[rows[:, None], self._region_ids].flatten())
        if watching:
            rows, columns = torch.tensor(watching).T.to(logprobs_NV.device, non_blocking=True)
            parts.append(logprobs_NV[rows, columns])
        figures_N4, regions, watched = _split(
            torch.cat(parts).cpu().numpy(), len(steps), len(pointing), len(self._region_ids)
        )
        region_logprobs = dict(zip(pointing, regions, strict=True))
        for (row, _), logprob in zip(watching, watched.tolist(), strict=True):
            steps[row].question.generation.watched_logprobs.append(logprob)
        for row, (step, (token, *figures)) in enumerate(zip(steps, figures_N4.tolist(), strict=True)):
            if row in region_logprobs:
                self._record_region(step.question, int(token), region_logprobs[row])
            step.question.generation.num_forced += step.forced_id is not None
            self._record(step.question, int(token), *figures)

    def _record_region(self, question: ActiveQuestion, token: int, logprobs_R: np.ndarray) -> None:
        region = self._region_of_id.get(token, -1)
        question.generation.region_steps.append(
            RegionStep(
                step=len(question.generation.token_ids),
                region_logprobs=logprobs_R[: question.num_regions],
                stop_logprob=float(logprobs_R[-1]),
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
    """(N, 4) float32: token id (exact below 2^24), its log-probability, margin and the entropy."""
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


def _split(
    flat: np.ndarray, num_rows: int, num_pointing: int, num_regions: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One transferred array as (N, 4) figures, (pointing, R) region log-probabilities, and the watched."""
    regions_start = 4 * num_rows
    watched_start = regions_start + num_pointing * num_regions
    figures = flat[:regions_start].reshape(num_rows, 4)
    regions = flat[regions_start:watched_start].reshape(num_pointing, num_regions)
    return figures, regions, flat[watched_start:]
