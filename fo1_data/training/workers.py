"""The workers of a training run: what each of them does, and how their gradients become one.

Every worker holds the same weights and computes its part of a step's images; sums over all workers make
the step that one worker alone would make. Uses torch.distributed where the caller has set it up.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, distributed, nn


class Workers:
    """This worker among all. Alone: rank 0 of 1, and nothing is exchanged."""

    def __init__(self) -> None:
        ready = distributed.is_available() and distributed.is_initialized()
        self.rank = distributed.get_rank() if ready else 0
        self.num = distributed.get_world_size() if ready else 1

    @property
    def first(self) -> bool:
        """True for the worker that writes the checkpoint and the log."""
        return self.rank == 0

    def share_of(self, places: Sequence[int]) -> list[int]:
        """The places of a step that this worker computes: every place is one worker's."""
        return list(places[self.rank :: self.num])

    def sum_of(self, value: Tensor) -> Tensor:
        """The sum of a tensor over all workers."""
        if self.num == 1:
            return value
        total = value.detach().clone()
        distributed.all_reduce(total)
        return total

    def most_of(self, number: int, device: torch.device) -> int:
        """The largest of a number over all workers."""
        most = torch.tensor(number, device=device)
        if self.num > 1:
            distributed.all_reduce(most, distributed.ReduceOp.MAX)
        return int(most)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Put the sum of all workers' gradients in place of each; one that a worker lacks counts as zero."""
        if self.num == 1:
            return
        trained = list(parameters)
        for parameter in trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = torch.cat([parameter.grad.flatten() for parameter in trained if parameter.grad is not None])
        distributed.all_reduce(flat)
        start = 0
        for parameter in trained:
            assert parameter.grad is not None
            parameter.grad.copy_(flat[start : start + parameter.numel()].view_as(parameter))
            start += parameter.numel()

    def wait(self) -> None:
        """Until all workers are here."""
        if self.num > 1:
            distributed.barrier()
