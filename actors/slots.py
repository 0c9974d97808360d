"""A labeller of a pool and what it does now. Decides nothing."""

from dataclasses import dataclass, field
from typing import Any

from actors.placement import Place
from fo1_data.dataset.shard_files import WriteOptions
from fo1_data.labelling.work_done import WorkDone
from fo1_data.runs.shard_work import Assemble, Gather, LabelPiece, LabelWhole, Work


@dataclass(eq=False)
class Slot:
    """A labeller. ref: its pending call, None while it is idle. doing: placing, loading, working or idle.
    ahead: the shard that it reads while it labels another; no try of that has begun. place: where it runs.
    started_s: when its work began, by the monotonic clock. second: the labeller that tries the same work.

    done_ref: the pending question for what is done of its work; done: the last answer.
    """

    actor: Any
    ref: Any
    doing: str
    work: Work | None = None
    ahead: LabelWhole | None = None
    place: Place | None = None
    started_s: float = 0.0
    second: "Slot | None" = None
    done_ref: Any = None
    done: WorkDone = field(default_factory=WorkDone)

    def work_alone(self) -> None:
        """No other tries the same work any more."""
        if self.second is not None:
            self.second.second = None
            self.second = None

    @property
    def host(self) -> str:
        """The address of the host that it runs on; empty before it is placed."""
        return self.place.address if self.place is not None else ""

    def __str__(self) -> str:
        return f"the labeller on {self.host}" if self.host else "a labeller"


def call_for(actor: Any, work: Work, options: WriteOptions) -> Any:
    """Give the work to a labeller; returns the reference of its answer."""
    match work:
        case LabelWhole(shard, try_id):
            return actor.label_shard.remote(shard, try_id, options)
        case LabelPiece(shard, try_id, start, stop):
            piece = shard.model_copy(update={"images": shard.images[start:stop]})
            return actor.label_piece.remote(piece, start, stop, try_id, options)
        case Assemble(shard, try_id, pieces):
            return actor.assemble_shard.remote(shard, list(pieces), try_id, options)
        case Gather(group, try_id):
            return actor.gather_shards.remote(group, try_id, options)
