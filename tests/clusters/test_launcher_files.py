"""The files of Ray's cluster launcher are valid by Ray's schema, and the Slurm script runs `fo1 label`."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from known_commands import parse_command
from ray.autoscaler._private.util import prepare_config, validate_config

from actors.cluster import Need, NodeRoom

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "clusters"


def read(path: Path) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return config


@pytest.mark.parametrize("path", [ROOT / "ray_cluster.yaml", EXAMPLES / "on-premises.yaml"])
def test_ray_takes_it(path: Path) -> None:
    config = prepare_config(read(path))
    validate_config(config)
    starts = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    assert all("RAY_AUTH_MODE=token" in line for line in starts if "ray start" in line)


def test_it_scales_gpu_workers_that_hold_a_labeller() -> None:
    config = read(ROOT / "ray_cluster.yaml")
    worker = config["available_node_types"]["gpu_worker"]
    assert worker["min_workers"] < worker["max_workers"] <= config["max_workers"]
    room = NodeRoom("", "", cpus=worker["resources"]["CPU"], gpus=worker["resources"]["GPU"])
    assert Need(cpus=1.0, gpus=1.0).fits(room) == 1


def write_program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def slurm_job(tmp_path: Path) -> dict[str, str]:
    """The environment of a job on `node-a` and `node-b`, played by programs that write down what they get."""
    write_program(tmp_path, "scontrol", "printf 'node-a\\nnode-b\\n'")
    write_program(tmp_path, "getent", 'printf \'127.0.1.1 %s\\n192.0.2.1 %s\\n\' "$2" "$2"')
    write_program(tmp_path, "srun", 'SLURMD_NODENAME=node-a "$@"; SLURMD_NODENAME=node-b "$@"')
    write_program(tmp_path, "ray", f'test "$RAY_AUTH_TOKEN" && echo "$@" >> {tmp_path}/ray.log')
    write_program(
        tmp_path,
        "fo1",
        f'printf "%s\\n" "$@"; until grep -q -- "start --address" {tmp_path}/ray.log; do :; done',
    )
    return {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "SLURM_JOB_NODELIST": "node-[a-b]",
        "SLURM_JOB_ID": "123456",
    }


def test_the_slurm_script_starts_ray_on_all_nodes_and_labels(
    tmp_path: Path, slurm_job: dict[str, str]
) -> None:
    """Real nodes of Slurm are told about in docs/clusters.md."""
    done = subprocess.run(
        ["bash", EXAMPLES / "label.slurm", "/shared/images", "/shared/out", "--labels", "brief_caption"],
        cwd=tmp_path,
        env=slurm_job,
        capture_output=True,
        text=True,
        check=True,
    )
    given = parse_command(done.stdout.splitlines())
    assert (given["corpus"], given["out"]) == ("/shared/images", "/shared/out")
    assert (given["address"], given["labels"]) == ("192.0.2.1:23456", "brief_caption")
    calls = (tmp_path / "ray.log").read_text().splitlines()
    head, worker = (line for line in calls if line.startswith("start"))
    assert head.startswith("start --head --port 23456 --block")
    assert worker.startswith("start --address 192.0.2.1:23456 --block")
    assert "health-check --address 192.0.2.1:23456" in calls


def test_the_slurm_script_needs_two_folders() -> None:
    done = subprocess.run(
        ["bash", EXAMPLES / "label.slurm", "/shared/images"], capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "the folder of the dataset" in done.stderr
