"""The queue of a run's work, and what happens to work whose worker was lost.

A shard is first labelled whole, unless it is larger than `piece_size`, as an image of many tiles may be: then
its pieces are handed out from the start. If that loses its worker, the shard is cut in halves, and these in
halves again. A single image may lose its worker `max_tries` times, then it becomes a reject (stage `worker`,
replayable); a video as often in one shot, because the shots that it has stored are progress. A labeller may
read a whole shard ahead while it labels another: a loss then proves nothing about either, so each is labelled
alone before it counts against an image. A worker that was lost with its host proves nothing at all: its work
goes to another as it is (`interrupted`). When every piece of a cut shard is settled, the shard is assembled.
When all shards of a group are done, their files are gathered. Every repetition is counted, so the work always
ends. Pure bookkeeping: starts nothing.
"""

import uuid
from collections import Counter, deque
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from fo1_data.corpus.rejects import reject_of
from fo1_data.dataset.shard_groups import GroupPlan, ShardGroup
from fo1_data.errors import ClusterError
from schemas.corpus import Shard
from schemas.images import Reject, RejectStage
from schemas.shards import GroupReport, ShardReport

# How often workers may be lost in writing the files of a shard, or of a group of shards.
MAX_WRITES = 5
# How often work may lose its host. Spot machines are taken now and then; more looks like its own fault.
MAX_INTERRUPTIONS = 10


@dataclass(frozen=True)
class LabelWhole:
    """Label and write the whole shard. alone: no other is read ahead beside it, nor it beside another."""

    shard: Shard
    try_id: str
    alone: bool = False


@dataclass(frozen=True)
class LabelPiece:
    """Label the images `start` to `stop` of a cut shard. losses: workers lost on it since it last came on.
    num_steps: how many shots of its video were stored by then."""

    shard: Shard
    try_id: str
    start: int
    stop: int
    losses: int = 0
    num_steps: int = 0


@dataclass(frozen=True)
class Assemble:
    """Write a cut shard from its pieces, in order. losses: workers lost while writing it so far."""

    shard: Shard
    try_id: str
    pieces: tuple[str | Reject, ...]
    losses: int = 0


@dataclass(frozen=True)
class Gather:
    """Gather the files of a group of done shards. losses: workers lost on it so far."""

    group: ShardGroup
    try_id: str
    losses: int = 0


Work = LabelWhole | LabelPiece | Assemble | Gather
Answer = str | ShardReport | GroupReport


@dataclass
class _CutShard:
    settled: dict[int, str | Reject] = field(default_factory=dict)
    open_pieces: int = 0


class ShardWork:
    """The queue of a run: `take` hands out work; `done` or `lost` reports its outcome.

    groups: which shards are gathered; without it, none are. piece_size: the largest shard that is labelled
    whole.
    """

    def __init__(
        self,
        shards: Collection[Shard],
        max_tries: int,
        groups: GroupPlan | None = None,
        piece_size: int | None = None,
    ) -> None:
        self._max_tries, self._groups, self._piece_size = max_tries, groups, piece_size
        self._untouched, self._num_untouched = iter(shards), len(shards)
        self._queue: deque[Work] = deque()  # what comes before the untouched shards
        self._cut: dict[str, _CutShard] = {}
        self._out = 0
        self._interruptions: Counter[str] = Counter()
        self.losses = 0
        self._gather_ready()

    @property
    def finished(self) -> bool:
        """True when nothing waits and nothing is being worked on."""
        return not self.waiting and self._out == 0

    @property
    def waiting(self) -> int:
        """The number of work items that nobody has taken."""
        return len(self._queue) + self._num_untouched

    def take(self) -> Work | None:
        """The next work item, or None if nothing waits."""
        self._fill()
        if not self._queue:
            return None
        self._out += 1
        return self._queue.popleft()

    def take_ahead(self) -> LabelWhole | None:
        """The next item if it is a whole shard, for a labeller to read while it labels another; else None.

        No try of it begins before it is labelled. `give_back` returns it.
        """
        self._fill()
        if self._queue and not (isinstance(self._queue[0], LabelWhole) and not self._queue[0].alone):
            return None
        work = self.take()
        assert work is None or isinstance(work, LabelWhole)
        return work

    def give_back(self, ahead: LabelWhole, *, alone: bool) -> None:
        """Return what was taken ahead and not labelled. alone: its reader was lost, perhaps because of it."""
        self._out -= 1
        self._queue.appendleft(replace(ahead, alone=alone))

    def done(self, work: Work, answer: Answer | None = None) -> None:
        """`work` succeeded. answer: the path of the rows of a LabelPiece, else the report."""
        self._out -= 1
        if isinstance(work, LabelPiece):
            assert isinstance(answer, str)
            self._settle(work, answer)
        elif isinstance(answer, ShardReport) and self._groups is not None:
            self._groups.add(answer)
            self._gather_ready()

    def lost(self, work: Work, why: str, ahead: LabelWhole | None = None, *, num_steps: int = 0) -> None:
        """The worker of `work` was lost, which had begun to read `ahead`.

        num_steps: how many shots of its video are stored. Raises ClusterError if writing a shard keeps losing
        workers.
        """
        self._out -= 1
        self.losses += 1
        if ahead is not None:
            self.give_back(ahead, alone=True)
            if isinstance(work, LabelWhole) and len(work.shard.images) == 1:
                self._queue.appendleft(LabelWhole(work.shard, new_try(), alone=True))
                return
        if isinstance(work, Assemble):
            if work.losses + 1 >= MAX_WRITES:
                raise ClusterError(
                    f"writing shard {work.shard.index} lost its worker {MAX_WRITES} times: {why}"
                )
            self._queue.appendleft(Assemble(work.shard, new_try(), work.pieces, work.losses + 1))
        elif isinstance(work, Gather):
            if work.losses + 1 >= MAX_WRITES:
                raise ClusterError(
                    f"gathering the shards from {work.group.first_index} on lost its worker {MAX_WRITES} "
                    f"times: {why}"
                )
            self._queue.appendleft(Gather(work.group, new_try(), work.losses + 1))
        elif isinstance(work, LabelPiece):
            self._lost_piece(work, why, num_steps)
        else:
            self._cut[work.shard.shard_id] = _CutShard(open_pieces=1)
            self._lost_piece(LabelPiece(work.shard, work.try_id, 0, len(work.shard.images)), why, num_steps)

    def interrupted(
        self, work: Work, why: str, ahead: LabelWhole | None = None, *, num_steps: int = 0
    ) -> None:
        """The worker of `work` was lost with its host: another tries it, and `ahead`, as if it had not begun.

        The eleventh time counts as `lost`.
        """
        name = _name(work)
        self._interruptions[name] += 1
        if self._interruptions[name] > MAX_INTERRUPTIONS:
            self.lost(work, why, ahead, num_steps=num_steps)
            return
        self._out -= 1
        if ahead is not None:
            self.give_back(ahead, alone=ahead.alone)
        self._queue.appendleft(replace(work, try_id=new_try()))

    def _fill(self) -> None:
        """Put the work of the next untouched shard into an empty queue."""
        if self._queue or not self._num_untouched:
            return
        self._num_untouched -= 1
        shard = next(self._untouched)
        length, size = len(shard.images), self._piece_size or len(shard.images)
        if length <= size:
            self._queue.append(LabelWhole(shard, new_try()))
            return
        starts = range(0, length, size)
        self._cut[shard.shard_id] = _CutShard(open_pieces=len(starts))
        self._queue.extend(LabelPiece(shard, new_try(), start, min(start + size, length)) for start in starts)

    def _gather_ready(self) -> None:
        for group in self._groups.take_ready() if self._groups is not None else ():
            self._queue.appendleft(Gather(group, new_try()))

    def _lost_piece(self, piece: LabelPiece, why: str, num_steps: int) -> None:
        length = piece.stop - piece.start
        if length > 1:
            middle = piece.start + length // 2
            self._cut[piece.shard.shard_id].open_pieces += 1
            self._queue.appendleft(LabelPiece(piece.shard, new_try(), middle, piece.stop))
            self._queue.appendleft(LabelPiece(piece.shard, new_try(), piece.start, middle))
            return
        losses = 1 if num_steps > piece.num_steps else piece.losses + 1
        if losses < self._max_tries:
            again = LabelPiece(piece.shard, new_try(), piece.start, piece.stop, losses, num_steps)
            self._queue.appendleft(again)
        else:
            entry = piece.shard.images[piece.start]
            message = f"killed its worker {losses} times: {why}"
            self._settle(piece, reject_of(entry, RejectStage.WORKER, "worker_lost", message))

    def _settle(self, piece: LabelPiece, outcome: str | Reject) -> None:
        cut = self._cut[piece.shard.shard_id]
        cut.settled[piece.start] = outcome
        cut.open_pieces -= 1
        if cut.open_pieces == 0:
            del self._cut[piece.shard.shard_id]
            pieces = tuple(cut.settled[start] for start in sorted(cut.settled))
            self._queue.appendleft(Assemble(piece.shard, new_try(), pieces))


def _name(work: Work) -> str:
    """What work is about; equal for all tries of it."""
    match work:
        case Gather(group):
            return f"group {group.first_index}"
        case LabelPiece(shard, _, start, stop):
            return f"{shard.shard_id} {start}-{stop}"
        case LabelWhole(shard) | Assemble(shard):
            return shard.shard_id


def new_try() -> str:
    """An id for a try of some work: no other try has it."""
    return uuid.uuid4().hex[:12]
