"""What is left to do of a run's shards, and what becomes of work that took its worker down.

A shard is first labelled whole. Where that loses the worker it is cut in halves, and halves in
halves, each lost once; an image alone may lose its worker `max_tries` times, then it is a reject
(stage `worker`, replayable). When every piece of a cut shard is settled, the shard is assembled.
Work is never repeated without a count, so it always ends. Pure bookkeeping: starts nothing.
"""

import uuid
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from fo1_data.corpus.rejects import reject_of
from fo1_data.errors import ClusterError
from schemas.corpus import Shard
from schemas.images import Reject, RejectStage

MAX_ASSEMBLIES = 5


@dataclass(frozen=True)
class LabelWhole:
    """Label and write the shard in one go."""

    shard: Shard
    try_id: str


@dataclass(frozen=True)
class LabelPiece:
    """Label the images `start` to `stop` of a shard that was cut; `losses` counts workers they took."""

    shard: Shard
    try_id: str
    start: int
    stop: int
    losses: int = 0


@dataclass(frozen=True)
class Assemble:
    """Write a shard that was cut from its pieces, in order."""

    shard: Shard
    try_id: str
    pieces: tuple[str | Reject, ...]
    losses: int = 0


Work = LabelWhole | LabelPiece | Assemble


@dataclass
class _CutShard:
    settled: dict[int, str | Reject] = field(default_factory=dict)
    open_pieces: int = 0


class ShardWork:
    """The queue of a run. `take` hands out work, `done` or `lost` says how it went."""

    def __init__(self, shards: Iterable[Shard], max_tries: int) -> None:
        self._max_tries = max_tries
        self._queue: deque[Work] = deque(LabelWhole(shard, _new_try()) for shard in shards)
        self._cut: dict[str, _CutShard] = {}
        self._out = 0
        self.losses = 0

    @property
    def finished(self) -> bool:
        """True when nothing waits and nothing is in work."""
        return not self._queue and self._out == 0

    @property
    def waiting(self) -> int:
        """How many pieces of work nobody has taken."""
        return len(self._queue)

    def take(self) -> Work | None:
        """The next piece of work, None where nothing waits."""
        if not self._queue:
            return None
        self._out += 1
        return self._queue.popleft()

    def done(self, work: Work, piece: str | None = None) -> None:
        """`work` succeeded; for a LabelPiece, `piece` is the path it gave."""
        self._out -= 1
        if isinstance(work, LabelPiece):
            assert piece is not None
            self._settle(work, piece)

    def back(self, work: Work) -> None:
        """`work` was never begun: it waits again, uncounted."""
        self._out -= 1
        self._queue.appendleft(work)

    def lost(self, work: Work, why: str) -> None:
        """The worker was lost over `work`. Raises ClusterError where writing alone keeps losing it."""
        self._out -= 1
        self.losses += 1
        if isinstance(work, Assemble):
            if work.losses + 1 >= MAX_ASSEMBLIES:
                raise ClusterError(f"writing shard {work.shard.index} lost its worker every time: {why}")
            self._queue.appendleft(Assemble(work.shard, _new_try(), work.pieces, work.losses + 1))
        elif isinstance(work, LabelPiece):
            self._lost_piece(work, why)
        else:
            self._cut[work.shard.shard_id] = _CutShard(open_pieces=1)
            self._lost_piece(LabelPiece(work.shard, work.try_id, 0, len(work.shard.images)), why)

    def _lost_piece(self, piece: LabelPiece, why: str) -> None:
        length = piece.stop - piece.start
        if length > 1:
            middle = piece.start + length // 2
            self._cut[piece.shard.shard_id].open_pieces += 1
            self._queue.appendleft(LabelPiece(piece.shard, _new_try(), middle, piece.stop))
            self._queue.appendleft(LabelPiece(piece.shard, _new_try(), piece.start, middle))
        elif piece.losses + 1 < self._max_tries:
            again = LabelPiece(piece.shard, _new_try(), piece.start, piece.stop, piece.losses + 1)
            self._queue.appendleft(again)
        else:
            entry = piece.shard.images[piece.start]
            message = f"took its worker down {piece.losses + 1} times: {why}"
            self._settle(piece, reject_of(entry, RejectStage.WORKER, "worker_lost", message))

    def _settle(self, piece: LabelPiece, outcome: str | Reject) -> None:
        cut = self._cut[piece.shard.shard_id]
        cut.settled[piece.start] = outcome
        cut.open_pieces -= 1
        if cut.open_pieces == 0:
            del self._cut[piece.shard.shard_id]
            pieces = tuple(cut.settled[start] for start in sorted(cut.settled))
            self._queue.appendleft(Assemble(piece.shard, _new_try(), pieces))


def _new_try() -> str:
    return uuid.uuid4().hex[:12]
