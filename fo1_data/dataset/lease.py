"""The lease that keeps a second driver out of a dataset's folder.

Leases are numbered files in `.run/lease/`, each made with create-if-absent; the highest number is valid.
A stale lease is taken over by making the next number, which only one of two drivers can do, on file
systems and object stores alike. A lease is stale if its holder died on this host, if it was released, or
if its heartbeat is more than `stale_after_s` (seconds) from now: in the past or, by a clock that was ahead,
in the future. So the clocks of hosts must agree within that. It guards against mistakes, not attacks: late
writes are harmless because of the markers (`shard_files`).
"""

import os
import socket
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from fo1_data.dataset.layout import LEASES
from fo1_data.errors import LeaseError, StorageError
from fo1_data.storage.store import Store

STALE_AFTER_S = 60.0
_ENDED = "ZX"  # states of a process in /proc: zombie, dead


class LeaseRecord(BaseModel):
    """Content of a lease file. Times are seconds since the epoch."""

    model_config = ConfigDict(extra="ignore")

    holder: str
    host: str
    pid: int
    process_started: str | None = None
    since: float
    heartbeat: float
    released: bool = False


def this_host() -> str:
    """The host and, if the system has one, the process namespace, within which pids are compared."""
    namespace = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()}/{namespace.readlink()}" if namespace.exists() else socket.gethostname()


def process_started(pid: int) -> str | None:
    """Start time of `pid` (clock ticks since boot); None if it is gone or the system does not tell.

    A process that ended and that its parent has not reaped is gone: where a container's first process is no
    init, it keeps its pid for as long as the container runs.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[19] if fields[0] not in _ENDED else None
    except (OSError, IndexError):
        return None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def is_stale(record: LeaseRecord, now: float, stale_after_s: float = STALE_AFTER_S) -> bool:
    """Whether no driver works under this lease any more."""
    if record.released or abs(now - record.heartbeat) > stale_after_s:
        return True
    if record.host != this_host():
        return False
    return not _is_alive(record.pid) or process_started(record.pid) != record.process_started


def current_lease(store: Store) -> tuple[int, LeaseRecord | None]:
    """The highest lease number (0 if there was none) and its record; None if it cannot be read."""
    numbers = sorted(
        int(path.rsplit("/", 1)[-1][:-5]) for path in store.list(LEASES) if path.endswith(".json")
    )
    if not numbers:
        return 0, None
    try:
        return numbers[-1], LeaseRecord.model_validate_json(store.read_bytes(_path(numbers[-1])))
    except (ValidationError, FileNotFoundError):
        return numbers[-1], None


def refuse_held(store: Store, stale_after_s: float = STALE_AFTER_S) -> int:
    """The highest lease number. Raises LeaseError if a driver works under it."""
    number, holder = current_lease(store)
    if holder is not None and not is_stale(holder, time.time(), stale_after_s):
        raise LeaseError(_refusal(store.url, holder))
    return number


class Lease:
    """The right to write a dataset's folder, kept by a heartbeat in a thread. A context manager.

    Raises LeaseError if another driver holds it, naming the driver and since when. `check` raises
    LeaseError if it was lost meanwhile (this process slept longer than `stale_after_s`).
    """

    def __init__(self, store: Store, stale_after_s: float = STALE_AFTER_S) -> None:
        self._store = store
        self._stale_after_s = stale_after_s
        self._stop = threading.Event()
        self._lost: str | None = None
        self._number = self._acquire()
        self._thread = threading.Thread(target=self._beat, name="fo1-lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise LeaseError if another driver has taken the lease, StorageError if it cannot be renewed."""
        number, record = current_lease(self._store)
        if number != self._number:
            raise LeaseError(f"lost the lease of {self._store.url} to {_who(record)}; stop this driver")
        if self._lost is not None:
            raise StorageError(f"the lease of {self._store.url} cannot be kept: {self._lost}")

    def release(self) -> None:
        """Give the lease back; safe to call twice."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        try:
            if current_lease(self._store)[0] == self._number:
                self._give_up()
        except (OSError, StorageError):
            return  # a lost store: the lease goes stale by itself

    def __enter__(self) -> "Lease":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _give_up(self) -> None:
        try:
            self._write(released=True)
        except (OSError, StorageError):
            # A full store accepts no write, but it can still delete a file.
            self._store.delete(_path(self._number))

    def _acquire(self) -> int:
        self._record = _record_of_this_process()
        mine = refuse_held(self._store, self._stale_after_s) + 1
        if not self._store.create_exclusive(_path(mine), self._record.model_dump_json().encode()):
            raise LeaseError(_refusal(self._store.url, current_lease(self._store)[1]))
        # A driver that read the numbers long ago can make a number that was used and removed since.
        highest, holder = current_lease(self._store)
        if highest != mine:
            self._store.delete(_path(mine))
            raise LeaseError(_refusal(self._store.url, holder))
        for old in self._store.list(LEASES):
            if old.endswith(".json") and old != _path(mine):
                self._store.delete(old)
        return mine

    def _beat(self) -> None:
        while not self._stop.wait(self._stale_after_s / 4):
            try:
                if current_lease(self._store)[0] != self._number:
                    return
                self._write()
                self._lost = None
            except (OSError, StorageError) as error:
                self._lost = str(error)

    def _write(self, **changes: Any) -> None:
        self._record = self._record.model_copy(update={"heartbeat": time.time(), **changes})
        self._store.write_bytes(_path(self._number), self._record.model_dump_json().encode())


def _path(number: int) -> str:
    return f"{LEASES}/{number:08d}.json"


def _record_of_this_process() -> LeaseRecord:
    now, pid = time.time(), os.getpid()
    return LeaseRecord(
        holder=uuid.uuid4().hex,
        host=this_host(),
        pid=pid,
        process_started=process_started(pid),
        since=now,
        heartbeat=now,
    )


def _who(record: LeaseRecord | None) -> str:
    if record is None:
        return "another driver"
    since = datetime.fromtimestamp(record.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"process {record.pid} on {record.host.partition('/')[0]} since {since}"


def _refusal(url: str, record: LeaseRecord | None) -> str:
    return f"{url} is being written by {_who(record)}; wait for it or stop it"
