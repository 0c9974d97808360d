"""The workers of a training run: what each of them does, and how their gradients become one.

Every worker holds the same weights and computes its part of a step's images; sums over all workers make
the step that one worker alone would make. Uses torch.distributed where the caller has set it up.
"""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, distributed, nn

_BUCKET_NUMBERS = 2**24


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
        for bucket in _buckets([one.grad for one in trained if one.grad is not None]):
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            distributed.all_reduce(flat)
            for gradient, summed in zip(bucket, flat.split([one.numel() for one in bucket]), strict=True):
                gradient.copy_(summed.view_as(gradient))

    def wait(self) -> None:
        """Until all workers are here."""
        if self.num > 1:
            distributed.barrier()


def _buckets(gradients: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """The gradients some at a time: one message each, and no second copy of all of them."""
    bucket: list[Tensor] = []
    for gradient in gradients:
        if bucket and sum(map(Tensor.numel, bucket)) + gradient.numel() > _BUCKET_NUMBERS:
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket
