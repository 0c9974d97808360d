"""What decoding steps read and change, on the device.

Shapes: N slots, k steps, F figures of a token.
"""

from dataclasses import dataclass

from torch import Tensor

from fo1_data.model.engine.shared_attention import Grouping


@dataclass(frozen=True)
class StepState:
    """Everything but keys and values.

    numbers_5N: int64, for each slot: the token to run next, its place in the tail, the position of the first
    tail token, how many tokens may still be chosen (0: the question is done, or the slot is empty), and the
    token that ends the answer besides the end of turn (or -1). step_1: the number of steps since the last
    copy. figures_kNF: their figures.
    """

    numbers_5N: Tensor
    grouping: Grouping
    step_1: Tensor
    figures_kNF: Tensor

    def tensors(self) -> list[Tensor]:
        """All of them."""
        of_grouping = self.grouping.table, self.grouping.places, self.grouping.bias
        return [self.numbers_5N, *of_grouping, self.step_1, self.figures_kNF]

    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of all tensors."""
        return tuple(tuple(tensor.shape) for tensor in self.tensors())
