"""The workers of a training run: how they divide a step, and how their gradients are summed.

Every worker holds the same weights and computes its part of a step's images; the sums over all workers give
the step that a single worker would make. Uses torch.distributed if the caller has set it up.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

_MAX_BUCKET_NUMBERS = 2**24

Value = TypeVar("Value")


class Workers:
    """This worker among all. Without torch.distributed: rank 0 of 1, and nothing is exchanged."""

    def __init__(self) -> None:
        is_distributed = distributed.is_available() and distributed.is_initialized()
        self.rank = distributed.get_rank() if is_distributed else 0
        self.num = distributed.get_world_size() if is_distributed else 1

    @property
    def is_first(self) -> bool:
        """True for the worker that writes the checkpoint and the log."""
        return self.rank == 0

    def share_of(self, places: Sequence[int]) -> list[int]:
        """The places of a step that this worker computes; each place belongs to exactly one worker."""
        return list(places[self.rank :: self.num])

    def sum_of(self, value: Tensor) -> Tensor:
        """The sum of a tensor over all workers."""
        if self.num == 1:
            return value
        total = value.detach().clone()
        distributed.all_reduce(total)
        return total

    def max_of(self, number: int, device: torch.device) -> int:
        """The maximum of a number over all workers."""
        maximum = torch.tensor(number, device=device)
        if self.num > 1:
            distributed.all_reduce(maximum, distributed.ReduceOp.MAX)
        return int(maximum)

    def total_of(self, number: int, device: torch.device) -> int:
        """The sum of a number over all workers."""
        return int(self.sum_of(torch.tensor(number, device=device)))

    def values_of(self, value: Value) -> list[Value]:
        """A value of each worker, by rank; all workers must call it."""
        if self.num == 1:
            return [value]
        values = [value] * self.num
        distributed.all_gather_object(values, value)
        return values

    def check_in_first(self, check: Callable[[], None]) -> None:
        """Run a check in the first worker alone; what it raises is raised in every one, so that none waits.

        All workers must call it.
        """
        refusal: Exception | None = None
        if self.is_first:
            try:
                check()
            except Exception as error:
                refusal = error
        refusal = self.values_of(refusal)[0]
        if refusal is not None:
            raise refusal

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its sum over all workers; a missing gradient counts as zero."""
        if self.num == 1:
            return
        trained = list(parameters)
        for parameter in trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        for bucket in _buckets([parameter.grad for parameter in trained if parameter.grad is not None]):
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            distributed.all_reduce(flat)
            parts = flat.split([gradient.numel() for gradient in bucket])
            for gradient, summed in zip(bucket, parts, strict=True):
                gradient.copy_(summed.view_as(gradient))

    def wait(self) -> None:
        """Block until all workers have called it."""
        if self.num > 1:
            distributed.barrier()


def _buckets(gradients: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Group gradients into buckets: one message per bucket, and never a second copy of all gradients."""
    bucket: list[Tensor] = []
    for gradient in gradients:
        if bucket and sum(map(Tensor.numel, bucket)) + gradient.numel() > _MAX_BUCKET_NUMBERS:
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket
