"""Labellers on a Ray cluster: each works on one item at a time, lost ones are replaced, idle ones released.

The pool holds between MIN and MAX labellers. A requested labeller without room waits for it, which makes
an autoscaling cluster grow. A lost labeller is replaced with a new one and its work goes back to
`ShardWork`, which counts the loss. Decides nothing about shards.
"""

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError, RuntimeEnvSetupError, UnserializableException

from actors.cluster import Need, nodes
from actors.labeller import LabellerActor
from fo1_data.dataset.shard_files import WriteOptions
from fo1_data.errors import ClusterError, Fo1Error
from fo1_data.labelling.identity import LabellerIdentity
from fo1_data.labelling.work_done import WorkDone
from fo1_data.runs.shard_labeller import LabellerSettings, is_device_lost
from fo1_data.runs.shard_work import Answer, Assemble, Gather, LabelPiece, LabelWhole, ShardWork, Work
from schemas.corpus import Shard
from schemas.dataset import ShardReport

WAIT_S = 1.0
# If so many labellers in a row died while loading, the model does not fit and retrying does not help.
MAX_LOST_LOADING = 10
NOTE_WAITING_AFTER_S = 60.0


# In the text of a traceback, the line of the exception: `package.module.Name: message`.
_EXCEPTION_LINE = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:: .*)?")


class LabellerError(Exception):
    """An exception of a labeller that Ray could not transport: its type and message, in one line."""


@dataclass
class _Slot:
    """A labeller. ref: its pending call, None while it is idle. doing: placing, loading, working or idle.
    ahead: the shard that it reads while it labels another; no try of that has begun.

    done_ref: the pending question for what is done of its work; done: the last answer.
    """

    actor: Any
    ref: Any
    doing: str
    work: Work | None = None
    ahead: LabelWhole | None = None
    done_ref: Any = None
    done: WorkDone = field(default_factory=WorkDone)


class LabellerPool:
    """The labellers of one run: call `start`, then `run`, and always `stop`.

    need: what each takes of a node. placement_timeout_s: how long a cluster without room may take to grow.
    """

    def __init__(
        self,
        settings: LabellerSettings,
        need: Need,
        least: int,
        most: int,
        placement_timeout_s: float,
        note: Callable[[str], None],
    ) -> None:
        self._settings, self._need, self._note = settings, need, note
        self._least, self._most = least, most
        self._placement_timeout_s = placement_timeout_s
        self._slots: list[_Slot] = []
        self._lost_loading = 0
        self._identity: LabellerIdentity | None = None
        self._find_report: Callable[[Shard], ShardReport | None] = lambda shard: None
        self._on_report: Callable[[ShardReport], None] = lambda report: None

    def start(self) -> LabellerIdentity:
        """Request the least number of labellers, wait until one has loaded, and return its identity.

        Raises ClusterError if they can never be placed, CheckpointError if the model does not load.
        """
        self._await_room()
        started_s, is_noted = time.monotonic(), False
        while self._identity is None:
            self._grow(self._least)
            self._settle_ready(None)
            none_placed = all(slot.doing == "placing" for slot in self._slots)
            if none_placed and not is_noted and time.monotonic() - started_s > NOTE_WAITING_AFTER_S:
                self._note("waiting for room: the cluster is busy with other work")
                is_noted = True
        return self._identity

    def run(
        self,
        work: ShardWork,
        options: WriteOptions,
        on_report: Callable[[ShardReport], None],
        tick: Callable[[], None],
        find_report: Callable[[Shard], ShardReport | None],
        add_inside: Callable[[WorkDone], None] = lambda done: None,
    ) -> None:
        """Do all of `work`. Raises ClusterError, and errors of the run that a labeller reports.

        add_inside: gets what is done of all work in hand.
        find_report: looks up whether a shard is done in the dataset's folder; its labeller may be lost after
        it marked the shard and before its answer arrives.
        """
        self._find_report, self._on_report = find_report, on_report
        while not work.finished:
            self._resize(work)
            for slot in self._slots:
                if slot.doing == "idle" and (item := self._next_item(slot, work)) is not None:
                    slot.doing, slot.work, slot.ref = "working", item, _call(slot.actor, item, options)
            self._read_ahead(work)
            self._settle_ready(work)
            add_inside(self._done_inside())
            tick()

    def _next_item(self, slot: _Slot, work: ShardWork) -> Work | None:
        """What an idle labeller does next: what it has read ahead, what waits, or what another has ahead."""
        item: Work | None = slot.ahead or work.take()
        if item is None:
            other = next((other for other in self._slots if other.ahead is not None), None)
            if other is not None:
                item, other.ahead = other.ahead, None
        slot.ahead = None
        return item

    def _read_ahead(self, work: ShardWork) -> None:
        """Give each labeller that labels a whole shard the next one to read, if it may be read beside it."""
        for slot in self._slots:
            is_beside = isinstance(slot.work, LabelWhole) and not slot.work.alone
            if slot.doing == "working" and is_beside and slot.ahead is None:
                slot.ahead = work.take_ahead()
                if slot.ahead is None:
                    return
                slot.actor.read_ahead.remote(slot.ahead.shard)

    def _done_inside(self) -> WorkDone:
        """What the labellers at work have done of it, by their last answers; asks again and does not wait."""
        total = WorkDone()
        for slot in self._slots:
            if slot.doing != "working" or slot.work is None:
                slot.done_ref = None
                continue
            if slot.done_ref is None:
                slot.done, slot.done_ref = WorkDone(), slot.actor.work_done.remote()
            elif ray.wait([slot.done_ref], timeout=0)[0]:
                with suppress(RayError):  # a lost labeller is settled with its work
                    try_id, done = ray.get(slot.done_ref)
                    slot.done = done if try_id == slot.work.try_id else WorkDone()
                slot.done_ref = slot.actor.work_done.remote()
            total += slot.done
        return total

    def stop(self) -> None:
        """Kill every labeller, so that none writes after this."""
        for slot in self._slots:
            ray.kill(slot.actor)
        self._slots.clear()

    def _await_room(self) -> None:
        deadline_s = time.monotonic() + self._placement_timeout_s
        while (room := sum(self._need.fits(node) for node in nodes())) < self._least:
            # Request them anyway: this makes an autoscaling cluster grow.
            if self._placement_timeout_s:
                self._grow(self._least)
            if time.monotonic() >= deadline_s:
                raise ClusterError(self._no_room(room))
            time.sleep(WAIT_S)

    def _no_room(self, room: int) -> str:
        sizes = ", ".join(f"{node.address}: {node.cpus:g} CPU, {node.gpus:g} GPU" for node in nodes())
        return (
            f"the cluster can hold {room} of the {self._least} labellers requested, each with {self._need} "
            f"({sizes}): lower --actors, --cpus-per-actor or --gpus-per-actor"
        )

    def _grow(self, num_labellers: int) -> None:
        while len(self._slots) < num_labellers:
            options = {"num_cpus": self._need.cpus, "num_gpus": self._need.gpus}
            actor = LabellerActor.options(**options).remote(self._settings)
            self._slots.append(_Slot(actor, actor.place.remote(), "placing"))

    def _resize(self, work: ShardWork) -> None:
        busy = sum(slot.doing == "working" for slot in self._slots)
        if waiting := work.waiting + sum(slot.ahead is not None for slot in self._slots):
            self._grow(min(self._most, max(self._least, busy + waiting)))
            return
        idle = [slot for slot in self._slots if slot.doing == "idle"]
        for slot in idle[1:]:  # one stays for work that a loss may bring back
            self._drop(slot)

    def _drop(self, slot: _Slot) -> None:
        ray.kill(slot.actor)
        self._slots.remove(slot)

    def _settle_ready(self, work: ShardWork | None) -> None:
        pending = {slot.ref: slot for slot in self._slots if slot.ref is not None}
        if not pending:
            return
        first, _ = ray.wait(list(pending), num_returns=1, timeout=WAIT_S)
        ready, _ = ray.wait(list(pending), num_returns=len(pending), timeout=0) if first else ([], [])
        for ref in ready:
            self._settle(pending[ref], work)

    def _settle(self, slot: _Slot, work: ShardWork | None) -> None:
        try:
            answer = ray.get(slot.ref)
        except RuntimeEnvSetupError as error:
            raise ClusterError(
                f"a node cannot set up the packages of fo1-data: {_first_line(error)}"
            ) from error
        except RayTaskError as error:
            has_cause = isinstance(error.cause, Exception) and not isinstance(error.cause, RayError)
            self._raised(slot, work, error.cause if has_cause else LabellerError(_own_line(error)))
        except UnserializableException as error:
            self._raised(slot, work, LabellerError(_own_line(error)))
        except RayError as error:
            self._lost(slot, work, error)
        else:
            self._answered(slot, work, answer)

    def _answered(self, slot: _Slot, work: ShardWork | None, answer: Any) -> None:
        if slot.doing == "placing":
            slot.doing, slot.ref = "loading", slot.actor.load.remote()
            return
        if slot.doing == "loading":
            self._check_same_model(answer)
            self._lost_loading = 0
        elif work is not None and slot.work is not None:
            self._complete(work, slot.work, answer)
            slot.work = None
        slot.doing, slot.ref = "idle", None

    def _complete(self, work: ShardWork, item: Work, answer: Answer) -> None:
        work.done(item, answer)
        if isinstance(answer, ShardReport):
            self._on_report(answer)

    def _check_same_model(self, identity: LabellerIdentity) -> None:
        if self._identity is None:
            self._identity = identity
        elif identity != self._identity:
            ours, theirs = asdict(self._identity), asdict(identity)
            differing = [f"{key}: {ours[key]}, {theirs[key]}" for key in ours if ours[key] != theirs[key]]
            raise ClusterError(f"the nodes would label differently: {'; '.join(differing)}")

    def _raised(self, slot: _Slot, work: ShardWork | None, error: Exception) -> None:
        """A call raised an exception; the labeller itself is alive."""
        if isinstance(error, Fo1Error):
            raise error
        if slot.work is None or work is None:
            raise ClusterError(f"a labeller cannot load the model: {_with_type(error)}")
        item, slot.work = slot.work, None
        work.lost(item, _with_type(error))
        slot.doing, slot.ref = "idle", None
        if is_device_lost(error):
            self._drop(slot)
            if slot.ahead is not None:
                work.give_back(slot.ahead, alone=False)

    def _lost(self, slot: _Slot, work: ShardWork | None, error: Exception) -> None:
        self._drop(slot)
        if slot.work is not None and work is not None:
            item = slot.work
            report = self._find_report(item.shard) if isinstance(item, LabelWhole | Assemble) else None
            if report is not None:
                self._complete(work, item, report)
                if slot.ahead is not None:
                    work.give_back(slot.ahead, alone=True)
                return
            work.lost(item, "its process died", slot.ahead)
            self._note(f"lost a labeller ({_first_line(error)}); its work is tried again")
            return
        self._lost_loading += 1
        if self._lost_loading >= MAX_LOST_LOADING:
            raise ClusterError(
                f"{self._lost_loading} labellers in a row died while loading the model: {_first_line(error)}"
            )


def _call(actor: Any, work: Work, options: WriteOptions) -> Any:
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


def _first_line(error: BaseException) -> str:
    """The first line of a Ray exception, whose messages have many."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]


def _with_type(error: Exception) -> str:
    name = "" if isinstance(error, LabellerError) else f"{type(error).__name__}: "
    return f"{name}{_first_line(error)}"


def _own_line(error: BaseException) -> str:
    """The line of the labeller's own exception in the text of Ray's, which ends with a traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    found = next((line for line in reversed(lines) if _EXCEPTION_LINE.fullmatch(line)), lines[-1])
    return found[:300]
