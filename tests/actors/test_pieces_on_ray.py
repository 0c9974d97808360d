"""One large image on a real local Ray: its tiles are pieces of one shard, its row that of one process."""

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from actors.cluster import ray_for
from actors.run import run_labelling
from fo1_data.dataset.reader import open_dataset
from fo1_data.runs.in_process import run_in_process
from schemas.jobs import RunConfig

TESTS_OF_RUNS = Path(__file__).parents[1] / "runs"
FACTORY = "tile_labeller:TileLabeller"
SPOT_PX = 12


def regions_of(out: Path) -> list[tuple[float, ...]]:
    dataset = open_dataset(str(out))
    (row,) = [row for file in dataset.data_files() for row in pq.read_table(out / file.path).to_pylist()]
    return sorted(tuple(region["box_xyxy"]) for region in row["regions"])


def test_two_labellers_label_each_tile_of_an_image_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.zeros((500, 700), np.uint8)
    for x in range(20, 680, 60):
        for y in range(20, 480, 60):
            pixels[y : y + SPOT_PX, x : x + SPOT_PX] = 255
    Image.fromarray(pixels).save(tmp_path / "one.png")
    monkeypatch.syspath_prepend(str(TESTS_OF_RUNS))
    monkeypatch.setenv("TILE_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("PYTHONPATH", f"{TESTS_OF_RUNS}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    tiles = {"corpus": str(tmp_path / "one.png"), "tile_px": 128, "tile_overlap": 0.25, "shard_size": 8}
    alone = RunConfig.model_validate({**tiles, "out": str(tmp_path / "alone")})
    run_in_process(alone, None, FACTORY)
    num_tiles = len((tmp_path / "log").read_text().splitlines())
    together = RunConfig.model_validate({**tiles, "out": str(tmp_path / "together"), "actors": "2"})
    with ray_for(together):
        manifest = run_labelling(together, None, FACTORY)
    logged = (tmp_path / "log").read_text().splitlines()[num_tiles:]
    assert (len(logged), len(set(logged))) == (num_tiles, num_tiles)
    assert manifest.counts.images == 1
    assert regions_of(tmp_path / "together") == regions_of(tmp_path / "alone")
    assert len(regions_of(tmp_path / "alone")) == 88
