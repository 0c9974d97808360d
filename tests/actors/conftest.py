"""A corpus of small images, what undisturbed runs make of it, and a Ray for the runs of a module."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from quick_labeller import FACTORY

HERE = Path(__file__).parent
IMAGE_S = "0.03"


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 images, of which one file is broken and one holds the bytes of another."""
    folder = tmp_path_factory.mktemp("corpus")
    for index in range(46):
        colour = (index * 5 % 256, index * 37 % 256, index)
        Image.new("RGB", (24 + index, 40), colour).save(folder / f"{index:03d}.png")
    (folder / "004-same.png").write_bytes((folder / "003.png").read_bytes())
    (folder / "030-broken.png").write_bytes(b"this is no image")
    return folder


@pytest.fixture(scope="session", autouse=True)
def workers_find_the_quick_labeller() -> Iterator[None]:
    """Workers and subprocesses take their path from the environment of the process that starts them."""
    before = dict(os.environ)
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    os.environ.update(PYTHONPATH=path, QUICK_IMAGE_S=IMAGE_S, OMP_NUM_THREADS="1")
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def ray_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A local Ray that the runs of a module share."""
    from actors.cluster import ray_for
    from schemas.jobs import RunConfig

    with ray_for(RunConfig(corpus="-", out="-", actors="3")):
        yield


@pytest.fixture(scope="session")
def undisturbed(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset that a run in one process makes of the small corpus."""
    from fo1_data.runs.in_process import run_in_process
    from schemas.jobs import RunConfig

    out = tmp_path_factory.mktemp("undisturbed") / "out"
    run_in_process(RunConfig(corpus=str(small_corpus), out=str(out), shard_size=4), None, FACTORY)
    return out
