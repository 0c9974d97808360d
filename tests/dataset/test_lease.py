"""One driver at a time: refused while it lives, taken over when it is gone, by one taker only."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fo1_data.dataset.lease import Lease, LeaseRecord, current_lease, is_stale, process_started, this_host
from fo1_data.errors import LeaseError
from fo1_data.storage.store import open_store

HOLDER = """
import sys
from fo1_data.storage.store import open_store
from fo1_data.dataset.lease import Lease
lease = Lease(open_store(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def record(**changes: object) -> LeaseRecord:
    now = time.time()
    values = {"holder": "x", "host": "elsewhere", "pid": 1, "since": now, "heartbeat": now, **changes}
    return LeaseRecord.model_validate(values)


def test_a_second_driver_is_told_who_is_in_and_since_when(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    with Lease(store) as first, pytest.raises(LeaseError, match=r"written by process \d+ on .* since 20"):
        first.check()
        Lease(store)
    Lease(store).release()


def test_the_lease_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LeaseError, match=f"process {holder.pid}"):
            Lease(store)
        holder.kill()
        holder.wait()
        with Lease(store) as lease:
            lease.check()


def test_the_lease_of_a_killed_process_that_nobody_reaped_is_free_at_once(tmp_path: Path) -> None:
    """As in a container whose first process is no init: the dead driver keeps its pid and start time."""
    store = open_store(str(tmp_path))
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.kill()
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
        assert process_started(holder.pid) is None
        with Lease(store) as lease:
            lease.check()


def test_what_makes_a_lease_stale() -> None:
    now = time.time()
    assert not is_stale(record(), now)
    assert is_stale(record(), now + 61)
    assert is_stale(record(heartbeat=now + 3600), now)  # of a host whose clock was ahead
    assert is_stale(record(released=True), now)
    assert not is_stale(record(), now + 61, stale_after_s=100)
    assert is_stale(record(host=this_host(), pid=1, process_started="another process of that number"), now)
    mine = record(host=this_host(), pid=1, process_started=process_started(1))
    assert not is_stale(mine, now)


def test_a_driver_that_was_away_too_long_learns_that_it_lost(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    slept = Lease(store, stale_after_s=1000)
    number, held = current_lease(store)
    assert held is not None
    old = held.model_copy(update={"heartbeat": time.time() - 2000})
    store.write_bytes(f".run/lease/{number:08d}.json", old.model_dump_json().encode())
    with Lease(store, stale_after_s=1000) as second:
        with pytest.raises(LeaseError, match="lost the lease"):
            slept.check()
        slept.release()
        second.check()


def test_a_heartbeat_keeps_it(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    with Lease(store, stale_after_s=0.2):
        first = current_lease(store)[1]
        assert first is not None
        deadline = time.monotonic() + 20
        while (now := current_lease(store)[1]) is None or now.heartbeat <= first.heartbeat:
            assert time.monotonic() < deadline
    assert current_lease(store)[1] is not None


def test_of_many_takers_one_gets_it(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    Lease(store).release()
    start, got, refused = threading.Barrier(8), [], []

    def take() -> None:
        mine = open_store(str(tmp_path))
        start.wait()
        try:
            got.append(Lease(mine))
        except LeaseError as error:
            refused.append(error)

    takers = [threading.Thread(target=take) for _ in range(8)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join()
    assert (len(got), len(refused)) == (1, 7)
    got[0].release()
