"""`ray_cluster.yaml` is valid by Ray's own schema, and its workers hold a labeller each."""

from pathlib import Path

import pytest
import yaml

from actors.cluster import Need, NodeRoom

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def cluster_file() -> dict:
    return yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())


def test_ray_takes_it(cluster_file: dict) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(cluster_file))


def test_it_scales_gpu_workers_that_hold_a_labeller(cluster_file: dict) -> None:
    worker = cluster_file["available_node_types"]["gpu_worker"]
    assert worker["min_workers"] < worker["max_workers"] <= cluster_file["max_workers"]
    room = NodeRoom("", "", cpus=worker["resources"]["CPU"], gpus=worker["resources"]["GPU"])
    assert Need(cpus=1.0, gpus=1.0).fits(room) == 1
