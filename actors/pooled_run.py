"""What a pool tells and asks the run that it works for."""

from typing import Protocol

from fo1_data.labelling.work_done import WorkDone
from schemas.corpus import Shard
from schemas.dataset import ShardReport


class PooledRun(Protocol):
    """The run that a pool works for: `ActiveRun` of `fo1_data.runs`."""

    def add(self, report: ShardReport) -> None:
        """A shard is done."""
        ...

    def add_inside(self, done: WorkDone) -> None:
        """So much is done of all work in hand."""
        ...

    def tick(self) -> None:
        """Called again and again."""
        ...

    def find_report(self, shard: Shard) -> ShardReport | None:
        """The report of a shard that is done in the dataset's folder.

        Its labeller may be lost after it marked the shard and before its answer arrives.
        """
        ...

    def count_steps(self, shard: Shard) -> int:
        """How many steps of a shard are stored."""
        ...
