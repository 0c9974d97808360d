"""A cluster of several nodes on this machine: packages and model reach each, labellers use each."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from run_probes import HERE, comparable

from fo1_data.dataset.reader import open_dataset

ROOT = HERE.parents[1]
ENDS_WITHIN_S = 240


@pytest.fixture(scope="module")
def two_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[Path]]]:
    """The address of a head without CPUs and two nodes of one CPU, each with a model cache of its own."""
    from ray.cluster_utils import Cluster

    caches = [tmp_path_factory.mktemp("cache") for _ in range(2)]
    store = 100 * 2**20
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": store})
    for cache in caches:
        # Each node is started from elsewhere, and finds our packages only where the run brings them.
        cluster.add_node(
            num_cpus=1,
            object_store_memory=store,
            env_vars={"FO1_CACHE_DIR": str(cache), "PYTHONPATH": str(HERE), "QUICK_IMAGE_S": "0.2"},
        )
    cluster.wait_for_nodes()
    yield cluster.address, caches
    cluster.shutdown()


def driver(corpus: Path, out: Path, model: Path, address: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(HERE / "quick_driver.py"), str(corpus), str(out), "--model", str(model)],
        env={**os.environ, "RAY_ADDRESS": address, "PYTHONPATH": os.pathsep.join([str(HERE), str(ROOT)])},
        # Ray puts the driver's folder on its workers' path, where the project itself must not lie.
        cwd=corpus,
        capture_output=True,
        text=True,
        timeout=ENDS_WITHIN_S,
        check=False,
    )


def test_packages_and_model_reach_every_node(
    small_corpus: Path, undisturbed: Path, tmp_path: Path, two_nodes: tuple[str, list[Path]]
) -> None:
    address, caches = two_nodes
    model = tmp_path / "some-model"
    model.mkdir()
    (model / "config.json").write_text("{}")

    done = driver(small_corpus, tmp_path / "out", model, address)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"] == 46
    assert comparable(tmp_path / "out") == comparable(undisturbed)
    # Workers ran the code that the run brought, not what is installed here.
    places = {str(row.provenance.job_id) for row in open_dataset(str(tmp_path / "out")).rows()}
    assert all("py_modules_files" in place for place in places), places
    for cache in caches:
        copies = list(cache.rglob("some-model/config.json"))
        assert len(copies) == 1, f"{cache}: {done.stderr}"


def test_a_plan_says_what_the_cluster_holds(
    small_corpus: Path, tmp_path: Path, two_nodes: tuple[str, list[Path]]
) -> None:
    address, _ = two_nodes
    arguments = ["plan", str(small_corpus), "--no-measure", "--json", "--address", address, "--actors", "5"]
    done = subprocess.run(
        [sys.executable, "-c", "from fo1_data.cli.main import main; main()", *arguments],
        capture_output=True,
        text=True,
        timeout=ENDS_WITHIN_S,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    plan = json.loads(done.stdout)
    assert plan["cluster"]["labellers_that_fit"] == 2
    assert [node["model"] for node in plan["cluster"]["nodes"]] == ["ok"] * 3
    assert plan["problems"] == [
        "the cluster can hold 2 labellers of 1 CPU and 0 GPU, 5 are requested",
    ]
    assert plan["files"]["bad"] == 1
    assert plan["files"]["duplicate_files"] == 1
