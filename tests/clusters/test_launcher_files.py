"""The files of Ray's cluster launcher are valid by Ray's schema, and the Slurm script runs `fo1 label`."""

import os
import shutil
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


def test_the_slurm_script_starts_ray_on_all_nodes_and_labels(tmp_path: Path) -> None:
    """Slurm is played by two programs: that real nodes do so too is told in docs/clusters.md."""
    write_program(tmp_path, "scontrol", "printf 'node-a\\nnode-b\\n'")
    write_program(tmp_path, "srun", 'test -n "$RAY_AUTH_TOKEN" && printf "%s\\n" "$@"')
    write_program(tmp_path, "fo1", 'printf "after: %s\\n" "$*"')
    bash = shutil.which("bash")
    assert bash is not None
    job = {"SLURM_JOB_NODELIST": "node-[a-b]", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "123456"}
    done = subprocess.run(
        [bash, EXAMPLES / "label.slurm", "/shared/images", "/shared/out", "--labels", "brief_caption"],
        env={"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", **job},
        capture_output=True,
        text=True,
        check=True,
    )
    *words, last = done.stdout.splitlines()
    start, command = words[: words.index("--")], words[words.index("--") + 1 :]
    assert start[start.index("ray") :][:4] == ["ray", "symmetric-run", "--address", "node-a:23456"]
    assert start[start.index("--min-nodes") + 1] == "2"
    given = parse_command(command[1:])
    assert (given["corpus"], given["out"], given["address"]) == ("/shared/images", "/shared/out", "auto")
    assert given["labels"] == "brief_caption"
    assert last == "after: dataset info /shared/out"


def test_the_slurm_script_needs_two_folders() -> None:
    done = subprocess.run(
        ["bash", EXAMPLES / "label.slurm", "/shared/images"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "the folder of the dataset" in done.stderr
