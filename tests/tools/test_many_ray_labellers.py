"""Many labellers that only sleep, on a real Ray: every shard is answered, and the shares are shares."""

import json
import subprocess
import sys


def test_every_shard_is_worked_on_and_times_are_counted() -> None:
    command = [
        sys.executable,
        "-m",
        "tools.many_ray_labellers",
        "2",
        "--shard-s",
        "0.2",
        "--shards-each",
        "2",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    (figures,) = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    assert (figures["labellers"], figures["shards"]) == (2, 4)
    assert 0 < figures["working"] <= 1
    assert figures["took_s"] >= 0.35
    assert figures["driver_ms_a_shard"] > 0
