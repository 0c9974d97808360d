"""Decoding steps that need nothing of the host: tokens, places, limits and figures stay on the device.

After k steps, the figures of all of them reach the host in one copy, the only synchronisation. A question
that ends before stands still until then.

Shapes: N slots, n of them hold questions, k steps, F figures of a token, C further tokens of interest.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fo1_data.model.engine.active_question import ActiveQuestion
from fo1_data.model.engine.prefix_cache import PrefixStack
from fo1_data.model.engine.shapes import Shapes
from fo1_data.model.engine.shared_attention import Grouping
from fo1_data.model.engine.step_graphs import StepGraphs
from fo1_data.model.engine.step_state import StepState
from fo1_data.model.engine.tail_pass import TailPass
from fo1_data.model.engine.token_figures import NUM_FIGURES, TokenFigures
from fo1_data.model.prompts import SpecialIds


class Decoding:
    """Advances the active questions of a batch. max_steps: the most steps for each copy to the host."""

    def __init__(
        self,
        tail_pass: TailPass,
        figures: TokenFigures,
        shapes: Shapes,
        graphs: StepGraphs,
        special: SpecialIds,
        list_ids_Z: Tensor,
        max_steps: int,
    ) -> None:
        self._pass, self._figures, self._shapes, self._graphs = tail_pass, figures, shapes, graphs
        self._end_of_turn, self._list_ids_Z, self._max_steps = special.end_of_turn, list_ids_Z, max_steps
        self._questions: list[ActiveQuestion] = []
        self._stack: PrefixStack | None = None
        self._state: StepState | None = None

    def run(self, questions: list[ActiveQuestion], stack: PrefixStack) -> npt.NDArray[np.float32]:
        """Choose up to k more tokens for questions in slots 0 to n - 1; their figures (k, n, F).

        The choices of a list are among the figures if a question may be within `<objects>`.
        """
        most_left = max(question.num_left for question in questions)
        num_steps = min(self._max_steps, most_left)
        extent = self._shapes.extent(max(question.num_cached for question in questions) + num_steps)
        state = self._keep_state(questions, stack)
        num_slots = state.numbers_5N.shape[1]
        self._pass.tails.reserve(num_slots, extent)
        has_lists = self._max_steps > 1 or any(question.in_objects for question in questions)
        columns_NC = self._list_ids_Z.expand(num_slots, -1)[:, : None if has_lists else 0]
        state.step_1.zero_()
        key = extent, tuple(stack.keys_values.shape), stack.version, self._pass.tails.version
        for _ in range(num_steps):
            self._graphs.run(key, state, lambda held: self._step(held, stack, extent, columns_NC))
        return state.figures_kNF[:num_steps, : len(questions)].cpu().numpy()

    def _keep_state(self, questions: list[ActiveQuestion], stack: PrefixStack) -> StepState:
        """The last state if the questions are the same, otherwise a new one from what the host knows."""
        is_same = stack is self._stack and list(map(id, questions)) == list(map(id, self._questions))
        if self._state is None or not is_same:
            self._questions, self._stack = list(questions), stack
            self._state = self._graphs.keep(self._new_state(questions, stack))
        return self._state

    def _new_state(self, questions: list[ActiveQuestion], stack: PrefixStack) -> StepState:
        device = stack.bias.device
        num_slots = self._shapes.questions(len(questions))
        numbers_5N = torch.zeros(5, num_slots, dtype=torch.long)
        numbers_5N[:, : len(questions)] = torch.tensor([_numbers(question) for question in questions]).T
        rows = [stack.row[question.prefix_number] for question in questions]
        most = self._shapes.questions(max(map(rows.count, set(rows))))
        grouping = Grouping.of(
            rows,
            [question.hidden_positions for question in questions],
            stack.bias,
            self._pass.num_heads,
            table_size=None if self._shapes.is_exact else (len(stack.bias), most),
            num_questions=num_slots,
        )
        num_figures = NUM_FIGURES + len(self._list_ids_Z)
        return StepState(
            numbers_5N.to(device, non_blocking=True),
            grouping,
            torch.zeros(1, dtype=torch.long, device=device),
            torch.zeros(self._max_steps, num_slots, num_figures, device=device),
        )

    def _step(self, state: StepState, stack: PrefixStack, extent: int, columns_NC: Tensor) -> None:
        token_N, place_N, start_N, left_N, stop_N = state.numbers_5N
        states_N1D = self._pass.run(
            token_N[:, None], place_N[:, None], start_N, slice(0, len(token_N)), extent, stack, state.grouping
        )
        chosen_N, figures_NF = self._figures.measure(states_N1D[:, 0], columns_NC)
        state.figures_kNF[:, :, : figures_NF.shape[1]].index_copy_(0, state.step_1, figures_NF[None])
        state.step_1.add_(1)
        goes_on_N = left_N > 0
        place_N.add_(goes_on_N)
        left_N.sub_(goes_on_N.long()).masked_fill_((chosen_N == self._end_of_turn) | (chosen_N == stop_N), 0)
        token_N.copy_(chosen_N)


def _numbers(question: ActiveQuestion) -> list[int]:
    stop_id = question.question.stop_id
    return [
        question.generation.token_ids[-1],
        question.num_cached,
        question.prompt.next_position,
        question.num_left,
        -1 if stop_id is None else stop_id,
    ]
