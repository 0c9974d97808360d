"""Records tokens in the generations of their questions, and chooses the first ones.

Shapes: N states, D language model width, n questions, k steps, C tokens of interest, Z of them are choices of
a list: the region tokens and `</objects>`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fo1_data.model.engine.active_question import ActiveQuestion
from fo1_data.model.engine.generation import RegionStep
from fo1_data.model.engine.token_figures import NUM_FIGURES, TokenFigures
from fo1_data.model.prompts import SpecialIds


@dataclass(frozen=True)
class _FirstStep:
    """A token of a newly admitted question.

    forced_id: the token id to score, or -1 to choose the most probable token. in_objects: True if the token
    lies within `<objects>`. watched_ids: ids whose log-probabilities are recorded.
    """

    question: ActiveQuestion
    forced_id: int
    in_objects: bool
    watched_ids: tuple[int, ...]


class TokenChooser:
    """Chooses first tokens and records all tokens."""

    def __init__(self, figures: TokenFigures, special: SpecialIds, device: torch.device) -> None:
        self._figures, self._special = figures, special
        self._region_of_id = {token: region for region, token in enumerate(special.regions)}
        # The choices of a list, whose log-probabilities the figures of a step within `<objects>` need.
        self.list_ids_Z = torch.tensor([*special.regions, special.objects_close]).to(device)

    def choose_first(self, admitted: Sequence[tuple[ActiveQuestion, Tensor]]) -> None:
        """Score the forced tokens of newly admitted questions, and choose the first token after them.

        admitted: each question with a state for each of these tokens, (W, D).
        """
        steps = [step for question, _ in admitted for step in self._first_steps(question)]
        states_ND = torch.cat([states_WD for _, states_WD in admitted])
        columns_NC = self._columns(steps)
        forced_N = None
        if any(step.forced_id >= 0 for step in steps):
            forced_ids = torch.tensor([step.forced_id for step in steps])
            forced_N = forced_ids.to(states_ND.device, non_blocking=True)
        _, figures_NF = self._figures.measure(states_ND, columns_NC, forced_N)
        for step, row in zip(steps, figures_NF.cpu().numpy(), strict=True):
            step.question.generation.num_forced += step.forced_id >= 0
            num_watched = len(step.watched_ids)
            if num_watched:
                step.question.generation.watched_logprobs += row[-num_watched:].tolist()
            self._record(step.question, row, row[:NUM_FIGURES].tolist())

    def record(self, questions: Sequence[ActiveQuestion], figures_knF: npt.NDArray[np.float32]) -> None:
        """Add the tokens of k steps to the generations of these questions, until they are done.

        figures_knF: as `TokenFigures.measure` gives them; with columns for the choices of a list if a
        question may be within `<objects>`.
        """
        numbers = figures_knF[:, :, :NUM_FIGURES].tolist()
        for row, question in enumerate(questions):
            for step in range(len(figures_knF)):
                self._record(question, figures_knF[step, row], numbers[step][row])
                question.num_cached += 1
                if question.is_done:
                    break

    def _first_steps(self, question: ActiveQuestion) -> Iterator[_FirstStep]:
        """A step for every forced id, then the first choice unless the forced tokens are the whole answer."""
        in_objects = False
        for token in question.question.forced_ids:
            yield _FirstStep(question, token, in_objects, ())
            in_objects = self._is_in_objects(token, in_objects)
        if not question.is_scored_only:
            yield _FirstStep(question, -1, in_objects, question.question.watched_ids)

    def _columns(self, steps: list[_FirstStep]) -> Tensor:
        """(N, C): the choices of a list if a step needs them, then each step's watched ids, aligned right."""
        columns_NC = self.list_ids_Z.expand(len(steps), -1)
        if not any(step.in_objects for step in steps):
            columns_NC = columns_NC[:, :0]
        most = max(len(step.watched_ids) for step in steps)
        if not most:
            return columns_NC
        watched = [[0] * (most - len(step.watched_ids)) + [*step.watched_ids] for step in steps]
        watched_NC = torch.tensor(watched).to(columns_NC.device, non_blocking=True)
        return torch.cat((columns_NC, watched_NC), dim=1)

    def _record(
        self, question: ActiveQuestion, figures_F: npt.NDArray[np.float32], numbers: list[float]
    ) -> None:
        token, logprob, margin, entropy = int(numbers[0]), *numbers[1:]
        generation = question.generation
        if question.in_objects:
            self._record_region(question, token, figures_F[NUM_FIGURES : NUM_FIGURES + len(self.list_ids_Z)])
        generation.token_ids.append(token)
        generation.logprobs.append(logprob)
        generation.margins.append(margin)
        generation.entropies.append(max(entropy, 0.0))
        generation.finished = token in (self._special.end_of_turn, question.question.stop_id)
        question.in_objects = self._is_in_objects(token, question.in_objects)

    def _record_region(
        self, question: ActiveQuestion, token: int, logprobs_Z: npt.NDArray[np.float32]
    ) -> None:
        region = self._region_of_id.get(token, -1)
        question.generation.region_steps.append(
            RegionStep(
                step=len(question.generation.token_ids),
                region_logprobs=logprobs_Z[: question.num_regions].copy(),
                stop_logprob=float(logprobs_Z[-1]),
                chosen=region if region < question.num_regions else -1,
            )
        )

    def _is_in_objects(self, token: int, before: bool) -> bool:
        if token in (self._special.objects_open, self._special.objects_close):
            return token == self._special.objects_open
        return before
