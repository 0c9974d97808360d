"""The driver itself killed, stopped, doubled, or run again under other settings, as real processes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from run_probes import comparable, done_markers, rejected, start_driver, wait_until

ENDS_WITHIN_S = 200


@pytest.fixture(scope="module")
def barrier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file that holds back images from the number written in it; see `quick_labeller`."""
    path = tmp_path_factory.mktemp("barrier") / "number"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("QUICK_BARRIER", str(path))
        yield path


@pytest.fixture(scope="module")
def cluster_address(barrier: Path) -> Iterator[str]:
    """A Ray that outlives its drivers, as a cluster does; its workers know the barrier."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 4, "object_store_memory": 100 * 2**20}
    )
    yield cluster.address
    cluster.shutdown()


def hold_from(barrier: Path, number: int) -> None:
    """Let images below `number` pass; replaced whole, for workers read it at any time."""
    fresh = barrier.with_suffix(".new")
    fresh.write_text(str(number))
    fresh.replace(barrier)


def finish(driver: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = driver.communicate(timeout=ENDS_WITHIN_S)
    return driver.returncode, out, err


def test_a_killed_driver_goes_on_with_the_same_command(
    small_corpus: Path, undisturbed: Path, tmp_path: Path, cluster_address: str, barrier: Path
) -> None:
    out = tmp_path / "out"

    def start(*more: str) -> subprocess.Popen[str]:
        return start_driver(str(small_corpus), str(out), *more, RAY_ADDRESS=cluster_address)

    hold_from(barrier, 12)
    first = start()
    wait_until(lambda: done_markers(out) >= 1 or first.poll() is not None, ENDS_WITHIN_S)
    code, _, err = finish(start())
    assert code == 1, err
    assert f"is being written by process {first.pid}" in err
    assert "Traceback" not in err

    first.kill()
    first.communicate()
    done = {path: path.read_bytes() for path in (out / ".run" / "shards").glob("*.json")}
    assert not (out / "manifest.json").exists()

    code, _, err = finish(start("--seed", "1"))
    assert code == 2, err
    assert "seed: 0 -> 1" in err
    assert "Traceback" not in err

    barrier.unlink()
    code, stdout, err = finish(start())
    assert code == 0, err
    assert "resuming: " in err
    assert json.loads(stdout)["images"] == 46
    assert comparable(out) == comparable(undisturbed)
    assert rejected(out) == rejected(undisturbed)
    # What was done before the kill was not done again.
    assert {path: path.read_bytes() for path in done} == done


def test_a_stopped_driver_ends_in_order_and_goes_on(
    small_corpus: Path, undisturbed: Path, tmp_path: Path, cluster_address: str, barrier: Path
) -> None:
    out = tmp_path / "out"

    for stop, expected, held in ((signal.SIGTERM, 143, 12), (signal.SIGINT, 130, 24)):
        hold_from(barrier, held)
        before = done_markers(out)
        driver = start_driver(str(small_corpus), str(out), RAY_ADDRESS=cluster_address)
        wait_until(lambda b=before, d=driver: done_markers(out) > b or d.poll() is not None, ENDS_WITHIN_S)
        os.kill(driver.pid, stop)
        code, _, err = finish(driver)
        assert code == expected, err
        assert "Traceback" not in err
        assert json.loads((out / ".run" / "progress.json").read_text())["state"] == "cancelled"

    barrier.unlink()
    code, _, err = finish(start_driver(str(small_corpus), str(out), RAY_ADDRESS=cluster_address))
    assert code == 0, err
    assert comparable(out) == comparable(undisturbed)


WAITS_IN_RAY = """
import os, signal, sys, threading, time
import ray
from fo1_data.runs.stopping import stopping_on_sigterm

ray.init(os.environ["RAY_ADDRESS"], log_to_driver=False)
never = ray.remote(num_cpus=10_000)(lambda: None).remote()
main = threading.get_ident()

def send(stop):
    places = [None]
    while len(places) < 5 or len(set(places[-5:])) > 1:  # until the main thread waits in one place of Ray
        frame = sys._current_frames()[main]
        file = frame.f_code.co_filename
        places.append((file, frame.f_lasti) if "ray" in file else object())
        time.sleep(0.05)
    os.kill(os.getpid(), stop)

for wait in (ray.get, lambda ref: ray.wait([ref])):
    for stop in (signal.SIGTERM, signal.SIGINT):
        threading.Thread(target=send, args=[stop], daemon=True).start()
        try:
            with stopping_on_sigterm():
                wait(never)
        except KeyboardInterrupt as end:
            print(type(end).__name__)
"""


def test_the_signal_tells_how_a_wait_in_ray_ends(cluster_address: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WAITS_IN_RAY],
        env={**os.environ, "RAY_ADDRESS": cluster_address},
        capture_output=True,
        text=True,
        check=True,
        timeout=ENDS_WITHIN_S,
    )
    assert done.stdout.split() == 2 * ["Terminated", "KeyboardInterrupt"]
