"""Labellers on a Ray cluster: each works on one item at a time, lost ones are replaced, idle ones released.

The pool holds between MIN and MAX labellers. A requested labeller without room waits for it, which makes
an autoscaling cluster grow. A lost labeller is replaced with a new one and its work goes back to
`ShardWork`, which counts the loss. When nothing waits, what is overdue (`WorkTimes`) is given to a second
labeller too: a host may be slow, or out of reach long before Ray takes it for dead. The first that is done
counts, and the other is released. Decides nothing about shards.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError, RuntimeEnvSetupError, UnserializableException

from actors.cluster import Need, nodes
from actors.labeller import LabellerActor
from actors.losses import LabellerError, first_line, loss_of, own_line, with_type
from actors.pooled_run import PooledRun, PooledWork
from actors.progress import ProgressQuestions
from actors.room import no_room_text
from actors.slots import Slot, call_for
from actors.store_faults import StoreFaults
from fo1_data.dataset.shard_files import WriteOptions
from fo1_data.errors import ClusterError, Fo1Error, StorageError
from fo1_data.labelling.identity import LabellerIdentity
from fo1_data.labelling.work_done import WorkDone
from fo1_data.runs.halving import is_device_lost
from fo1_data.runs.shard_labeller import LabellerSettings
from fo1_data.runs.shard_work import LabelWhole, ShardWork, Work, new_try
from fo1_data.runs.work_times import WorkTimes

WAIT_S = 1.0
# If so many labellers in a row died while loading, the model does not fit and retrying does not help.
MAX_LOST_LOADING = 10
NOTE_WAITING_AFTER_S = 60.0


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
        self._slots: list[Slot] = []
        self._times = WorkTimes()
        self._progress = ProgressQuestions()
        self._store_faults = StoreFaults()
        self._lost_loading = 0
        self._identity: LabellerIdentity | None = None

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

    def run(self, work: ShardWork, options: WriteOptions, run: PooledRun) -> None:
        """Do all of `work` for `run`. Raises ClusterError, and errors of the run that a labeller reports."""
        pooled = PooledWork(work, run)
        while not work.finished:
            self._resize(work)
            for slot in self._slots:
                if slot.doing == "idle" and (item := self._next_item(slot, work)) is not None:
                    slot.doing, slot.work, slot.ref = "working", item, call_for(slot.actor, item, options)
                    slot.started_s, slot.done = time.monotonic(), WorkDone()
            self._read_ahead(work)
            self._settle_ready(pooled)
            run.add_inside(self._progress.done_inside(self._slots))
            run.tick()

    def _next_item(self, slot: Slot, work: ShardWork) -> Work | None:
        """What an idle labeller does next: what it has read ahead, what waits, or what another has ahead."""
        item: Work | None = slot.ahead or work.take()
        if item is None:
            other = next((other for other in self._slots if other.ahead is not None), None)
            if other is not None:
                item, other.ahead = other.ahead, None
        slot.ahead = None
        return item or self._second_try(slot)

    def _second_try(self, slot: Slot) -> Work | None:
        """Work that is overdue at another labeller, for this idle one to try too."""
        other = next(iter(self._overdue()), None)
        if other is None:
            return None
        assert isinstance(other.work, LabelWhole)
        slot.second, other.second = other, slot
        self._note(f"shard {other.work.shard.index} is overdue at {other}: another labeller tries it too")
        return replace(other.work, try_id=new_try())

    def _overdue(self) -> list[Slot]:
        """The labellers whose work takes too long and is tried by no other."""
        now_s = time.monotonic()
        return [
            slot
            for slot in self._slots
            if slot.work is not None
            and slot.second is None
            and self._times.is_overdue(slot.work, now_s - slot.started_s)
        ]

    def _read_ahead(self, work: ShardWork) -> None:
        """Give each labeller that labels a whole shard the next one to read, if it may be read beside it."""
        for slot in self._slots:
            is_beside = isinstance(slot.work, LabelWhole) and not slot.work.alone
            if slot.doing == "working" and is_beside and slot.ahead is None:
                slot.ahead = work.take_ahead()
                if slot.ahead is None:
                    return
                slot.actor.read_ahead.remote(slot.ahead.shard)

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
                raise ClusterError(no_room_text(self._need, self._least, room))
            time.sleep(WAIT_S)

    def _grow(self, num_labellers: int) -> None:
        while len(self._slots) < num_labellers:
            actor = self._new_actor()
            self._slots.append(Slot(actor, actor.place.remote(), "placing"))

    def _new_actor(self) -> Any:
        options = {"num_cpus": self._need.cpus, "num_gpus": self._need.gpus}
        return LabellerActor.options(**options).remote(self._settings)

    def _resize(self, work: ShardWork) -> None:
        busy = sum(slot.doing == "working" for slot in self._slots)
        ahead = sum(slot.ahead is not None for slot in self._slots)
        if waiting := work.waiting + ahead + len(self._overdue()):
            self._grow(min(self._most, max(self._least, busy + waiting)))
            return
        idle = [slot for slot in self._slots if slot.doing == "idle"]
        for slot in idle[1:]:  # one stays for work that a loss may bring back
            self._drop(slot)

    def _drop(self, slot: Slot) -> None:
        ray.kill(slot.actor)
        self._slots.remove(slot)
        slot.ref = None
        slot.work_alone()

    def _settle_ready(self, work: PooledWork | None) -> None:
        pending = {slot.ref: slot for slot in self._slots if slot.ref is not None}
        if not pending:
            return
        first, _ = ray.wait(list(pending), num_returns=1, timeout=WAIT_S)
        ready, _ = ray.wait(list(pending), num_returns=len(pending), timeout=0) if first else ([], [])
        for slot in [pending[ref] for ref in ready]:
            if slot in self._slots:  # not released meanwhile, because another did its work
                self._settle(slot, work)

    def _settle(self, slot: Slot, work: PooledWork | None) -> None:
        try:
            answer = ray.get(slot.ref)
        except RuntimeEnvSetupError as error:
            raise ClusterError(
                f"a node cannot set up the packages of fo1-data: {first_line(error)}"
            ) from error
        except RayTaskError as error:
            has_cause = isinstance(error.cause, Exception) and not isinstance(error.cause, RayError)
            self._raised(slot, work, error.cause if has_cause else LabellerError(own_line(error)))
        except UnserializableException as error:
            self._raised(slot, work, LabellerError(own_line(error)))
        except RayError as error:
            self._lost(slot, work, error)
        else:
            self._answered(slot, work, answer)

    def _answered(self, slot: Slot, work: PooledWork | None, answer: Any) -> None:
        if slot.doing == "placing":
            slot.place, slot.doing, slot.ref = answer, "loading", slot.actor.load.remote()
            return
        if slot.doing == "loading":
            self._check_same_model(answer)
            self._lost_loading = 0
        elif work is not None and slot.work is not None:
            self._times.add(slot.work, time.monotonic() - slot.started_s)
            self._store_faults.reached(slot.host)
            work.complete(slot.work, answer)
            slot.work = None
            if slot.second is not None:
                self._release(slot.second, work)
        slot.doing, slot.ref = "idle", None

    def _release(self, slot: Slot, work: PooledWork) -> None:
        """Drop a labeller whose work is settled elsewhere; what it has read ahead goes back."""
        self._drop(slot)
        if slot.ahead is not None:
            work.queue.give_back(slot.ahead, alone=False)

    def _check_same_model(self, identity: LabellerIdentity) -> None:
        if self._identity is None:
            self._identity = identity
        elif identity != self._identity:
            ours, theirs = asdict(self._identity), asdict(identity)
            differing = [f"{key}: {ours[key]}, {theirs[key]}" for key in ours if ours[key] != theirs[key]]
            raise ClusterError(f"the nodes would label differently: {'; '.join(differing)}")

    def _raised(self, slot: Slot, work: PooledWork | None, error: Exception) -> None:
        """A call raised an exception; the labeller itself is alive."""
        hosts = {other.host for other in self._slots if other.host}
        is_of_host = isinstance(error, StorageError) and self._store_faults.is_of_some_hosts(slot.host, hosts)
        if isinstance(error, Fo1Error) and not (is_of_host and slot.work is not None):
            raise error
        if slot.work is None or work is None:
            raise ClusterError(f"a labeller cannot load the model: {with_type(error)}")
        if is_of_host:
            self._leave_host(slot, slot.work, work, error)
            return
        item, slot.work = slot.work, None
        if slot.second is None:
            work.queue.lost(item, with_type(error), num_steps=work.num_steps(item))
        else:
            slot.work_alone()
        slot.doing, slot.ref = "idle", None
        if is_device_lost(error):
            self._release(slot, work)

    def _leave_host(self, slot: Slot, item: Work, work: PooledWork, error: Exception) -> None:
        """Give the work of a labeller whose host cannot use a store to another."""
        other = slot.second
        self._release(slot, work)
        self._note(f"{slot} cannot use a store, its work goes to another: {first_line(error)}")
        if other is None:
            work.queue.interrupted(item, first_line(error), num_steps=work.num_steps(item))

    def _lost(self, slot: Slot, work: PooledWork | None, error: RayError) -> None:
        other = slot.second
        self._drop(slot)
        if work is None or slot.work is None:
            self._lost_loading += 1
            if self._lost_loading >= MAX_LOST_LOADING:
                raise ClusterError(
                    f"{self._lost_loading} labellers in a row died while loading the model: "
                    f"{first_line(error)}"
                )
            return
        item, ahead = slot.work, slot.ahead
        report = work.find_report(item)
        loss = loss_of(error, slot.place.node_id if slot.place else None)
        if report is None:
            self._note(f"lost {slot}, {loss.why}; its work {'goes on' if other else 'is tried again'}")
        if report is None and other is None:
            tell = work.queue.interrupted if loss.with_host else work.queue.lost
            tell(item, loss.why, ahead, num_steps=work.num_steps(item))
            return
        if ahead is not None:
            work.queue.give_back(ahead, alone=ahead.alone or not loss.with_host)
        if report is not None:
            work.complete(item, report)
            if other is not None:
                self._release(other, work)
