"""What a pool tells and asks the run that it works for, and the queue of that run's work."""

from dataclasses import dataclass
from typing import Protocol

from fo1_data.labelling.work_done import WorkDone
from fo1_data.runs.shard_work import Answer, Assemble, LabelPiece, LabelWhole, ShardWork, Work
from schemas.corpus import Shard
from schemas.shards import ShardReport


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


@dataclass(frozen=True)
class PooledWork:
    """The queue of a run's work, with the run that hears what is done."""

    queue: ShardWork
    run: PooledRun

    def complete(self, item: Work, answer: Answer) -> None:
        """Work is done; a shard that it finishes is one of the run's."""
        self.queue.done(item, answer)
        if isinstance(answer, ShardReport):
            self.run.add(answer)

    def num_steps(self, item: Work) -> int:
        """How many steps of the work's shard are stored."""
        return self.run.count_steps(item.shard) if isinstance(item, LabelWhole | LabelPiece) else 0

    def find_report(self, item: Work) -> ShardReport | None:
        """The report of the shard that the work writes, if it is done in the dataset's folder."""
        return self.run.find_report(item.shard) if isinstance(item, LabelWhole | Assemble) else None
