"""A cluster that refuses the token is told within seconds, where Ray tries for twenty."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ENDS_WITHIN_S = 240


@pytest.fixture
def cluster_address(tmp_path: Path) -> Iterator[str]:
    """A Ray with a token of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64}
    start = ["start", "--head", "--block", "--include-dashboard=false", "--num-cpus=0", f"--port={port}"]
    # The path of a socket must be short.
    with (tmp_path / "log").open("wb") as log, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as ray:
        places = [f"--temp-dir={ray}", "--node-ip-address=127.0.0.1", "--object-store-memory=80000000"]
        command = [sys.executable, "-m", "ray.scripts.scripts", *start, *places]
        head = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            wait_for(port)
            yield f"127.0.0.1:{port}"
        finally:
            head.terminate()
            head.wait(30)


def wait_for(port: int) -> None:
    ends_s = time.monotonic() + ENDS_WITHIN_S
    while time.monotonic() < ends_s:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the head of the cluster does not listen")


def test_a_refused_token_is_said_soon(cluster_address: str, tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.png").write_bytes(b"")
    program = "import sys; from fo1_data.cli.main import main; main()"
    command = [sys.executable, "-c", program, "label", tmp_path / "corpus", "--out", tmp_path / "out"]
    environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "b" * 64}
    done = subprocess.run(
        [*map(str, command), "--address", cluster_address],
        env=environment,
        capture_output=True,
        text=True,
        timeout=ENDS_WITHIN_S,
        check=False,
    )
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("fo1: ")]
    assert line.startswith(f"fo1: the Ray cluster at {cluster_address} refuses the token: set RAY_AUTH_TOKEN")
    # The tries of Ray: each says that the token is refused, about a second apart.
    assert done.stderr.count("InvalidAuthToken") <= 4
