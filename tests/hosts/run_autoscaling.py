"""Label on a cluster that grows and shrinks: the node types of ray_cluster.yaml, on nodes that Ray plays.

    PYTHONPATH=. .venv/bin/python tests/hosts/run_autoscaling.py [NAMES]

`grows`: from no GPU worker to two and back to none; one is taken in mid-shard. `too-large`: no node type
fits a labeller. `no-capacity`: the cloud has no machine. Prints the number of workers over time and what each
run told a person. Everything runs on one host of `hosts`, since Ray's provider starts its nodes there.
"""

import json
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "actors"))

import psutil
import typer
import yaml
from hosts import Host, Network
from ray_hosts import BUCKET, QUICK, ROOT, Driver, HeadState, RayHosts, StoreHost
from run_probes import comparable, labeller_processes
from stage import CORPUS, put_corpus

HEAD_NODE = f"{'f' * 51}00000"
FAKE: dict[str, Any] = {
    "type": "fake_multinode",
    "head_node_id": HEAD_NODE,
    "use_node_id_as_ip": True,
    "disable_node_updaters": True,
    "disable_launch_config_check": True,
    "launch_multiple": True,
}
NONE_LEFT = {**FAKE, "type": "external", "module": "no_capacity.NoCapacity"}
IMAGES, IMAGE_S, SHARD_SIZE, MOST = 240, 1.0, 4, 2
IDLE_MINUTES = 0.25
GIVEN_BACK_WITHIN_S = 180
LABELS_AFTER_S = 10  # a labeller that was placed has its model by then and is within a shard
LAUNCHER_LISTS = (
    "cluster_synced_files",
    "rsync_exclude",
    "rsync_filter",
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)


def main(names: Annotated[list[str] | None, typer.Argument()] = None, network: int = 1) -> None:
    for name, provider, gpus in (("grows", FAKE, 1), ("too-large", FAKE, 9), ("no-capacity", NONE_LEFT, 1)):
        if names and name not in names:
            continue
        with (
            TemporaryDirectory(prefix="fo1-hosts-", dir="/var/tmp") as disks,
            Network(Path(disks), network) as hosts,
        ):
            _run(hosts, name, provider, gpus)


def _run(network: Network, name: str, provider: dict[str, Any], gpus: int) -> None:
    store = StoreHost(network)
    put_corpus(store, IMAGES)
    ray = RayHosts(network, store, HeadState.MEMORY, IMAGE_S)
    fake = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1", "QUICK_IMAGE_S": str(IMAGE_S)}
    (ray.head.disk / "cluster.yaml").write_text(json.dumps(_cluster(provider)))
    here = f"{QUICK}:{Path(__file__).parent}"
    ray.start_head(
        "--autoscaling-config=/tmp/cluster.yaml",
        RAY_OVERRIDE_NODE_ID_FOR_TESTING=HEAD_NODE,
        PYTHONPATH=here,
        **fake,
    )
    out = f"s3://{BUCKET}/out"
    command = [sys.executable, str(QUICK / "quick_driver.py"), CORPUS, out, "--actors", f"1:{MOST}"]
    command += ["--shard-size", str(SHARD_SIZE), "--gpus-per-actor", str(gpus), "--placement-timeout-s", "45"]
    settings = {**ray.settings, "PYTHONPATH": f"{ROOT}:{QUICK}", "RAY_ADDRESS": ray.address}
    driver = Driver(ray.head, command, settings)
    counts: list[tuple[float, int]] = []
    taken, placed_s = False, float("inf")
    while not driver.ended or (counts[-1][1] and time.monotonic() < driver.ended_s + GIVEN_BACK_WITHIN_S):
        workers = _workers(ray.head)
        if not counts or counts[-1][1] != len(workers):
            counts.append((round(time.monotonic() - driver.started_s), len(workers)))
            print(f"  {counts[-1][0]:4d} s  {len(workers)} GPU workers", flush=True)
        is_placed = len(workers) == MOST and labeller_processes(workers[-1])
        placed_s = min(placed_s, time.monotonic()) if is_placed else float("inf")
        if not taken and time.monotonic() - placed_s > LABELS_AFTER_S:
            workers[-1].kill()
            taken = True
            print(f"  {time.monotonic() - driver.started_s:4.0f} s  one is taken", flush=True)
        time.sleep(0.5)
    code = driver.wait(10)
    print(f"{name}: exit code {code}, {counts[-1][1]} GPU workers in the end")
    for at, line in driver.lines:
        print(f"  {at:6.1f} {line}")
    if code == 0:
        uris = Counter(row["uri"] for row in comparable(out))
        print(f"  {len(uris)} of {IMAGES} images have a row, none has two: {set(uris.values()) == {1}}")


def _cluster(provider: dict[str, Any]) -> dict[str, Any]:
    """`ray_cluster.yaml` with fake machines, few workers and a short patience."""
    file = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())
    types = {
        name: {**kind, "node_config": {}, "max_workers": min(kind["max_workers"], MOST)}
        for name, kind in file["available_node_types"].items()
    }
    types["ray.head.default"] = types.pop(file["head_node_type"])
    return {
        "cluster_name": "fake",
        "max_workers": MOST,
        "upscaling_speed": file["upscaling_speed"],
        "idle_timeout_minutes": IDLE_MINUTES,
        "provider": provider,
        "available_node_types": types,
        "head_node_type": "ray.head.default",
        "docker": {},
        "auth": {},
        "file_mounts_sync_continuously": False,
        "file_mounts": {},
        **{name: [] for name in LAUNCHER_LISTS},
    }


def _workers(head: Host) -> list[psutil.Process]:
    """The raylets of the host, less the head's own, which is the oldest."""
    raylets = []
    for process in head.processes():
        with suppress(psutil.NoSuchProcess):
            if process.name() == "raylet" and process.status() != psutil.STATUS_ZOMBIE:
                raylets.append((process.create_time(), process.pid, process))
    return [process for _, _, process in sorted(raylets)[1:]]


if __name__ == "__main__":
    typer.run(main)
