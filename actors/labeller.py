"""`Labeller`: a `ShardLabeller` as a Ray actor. A shard goes in, a small report comes out.

Pixels, rows and weights never pass through Ray: the actor reads and writes its storage itself.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import ray

from actors.placement import Place, hide_unreserved_gpus, this_place
from fo1_data.dataset.shard_files import WriteOptions
from fo1_data.dataset.shard_groups import ShardGroup
from fo1_data.labelling.identity import LabellerIdentity
from fo1_data.labelling.work_done import WorkDone
from fo1_data.logs import log_if_asked
from fo1_data.runs.shard_labeller import LabellerSettings, ShardLabeller
from schemas.corpus import Shard
from schemas.images import Reject
from schemas.shards import GroupReport, ShardReport

PROGRESS_GROUP = "progress"


class Labeller:
    """One labelling process of a cluster. Cheap to create: `load` loads the model."""

    def __init__(self, settings: LabellerSettings) -> None:
        hide_unreserved_gpus()
        self._log = ExitStack()
        self._log.enter_context(log_if_asked())
        self._shards = ShardLabeller(settings)

    def place(self) -> Place:
        """Where this labeller runs. An answer means that it has been placed."""
        return this_place()

    def load(self) -> LabellerIdentity:
        """Load the model and return the labeller's identity."""
        return self._shards.load()

    @ray.method(concurrency_group=PROGRESS_GROUP)
    def work_done(self) -> tuple[str, WorkDone]:
        """See `ShardLabeller.work_done`. Answers from a thread of its own, while the labeller works."""
        return self._shards.work_done()

    @ray.method(concurrency_group=PROGRESS_GROUP)
    def read_ahead(self, shard: Shard) -> None:
        """See `ShardLabeller.read_ahead`. Runs while the labeller works."""
        self._shards.read_ahead(shard)

    def label_shard(self, shard: Shard, try_id: str, options: WriteOptions) -> ShardReport:
        """See `ShardLabeller.label_shard`."""
        return self._shards.label_shard(shard, try_id, options)

    def label_piece(self, shard: Shard, start: int, stop: int, try_id: str, options: WriteOptions) -> str:
        """See `ShardLabeller.label_piece`."""
        return self._shards.label_piece(shard, start, stop, try_id, options)

    def assemble_shard(
        self, shard: Shard, pieces: Sequence[str | Reject], try_id: str, options: WriteOptions
    ) -> ShardReport:
        """See `ShardLabeller.assemble_shard`."""
        return self._shards.assemble_shard(shard, pieces, try_id, options)

    def gather_shards(self, group: ShardGroup, try_id: str, options: WriteOptions) -> GroupReport:
        """See `ShardLabeller.gather_shards`."""
        return self._shards.gather_shards(group, try_id, options)


# The driver counts retries and replaces a lost labeller with a new one. A call repeated by Ray itself
# would kill one worker after another with the same image.
_CONCURRENCY: dict[str, Any] = {"concurrency_groups": {PROGRESS_GROUP: 1}}  # not in Ray's type hints
LabellerActor: Any = ray.remote(max_restarts=0, max_task_retries=0, **_CONCURRENCY)(Labeller)
