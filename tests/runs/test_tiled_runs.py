"""Runs over images in tiles: one row an image, whatever kills the run, and no row with a hole."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fo1_data.cli.progress_lines import figures
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.validate import validate_dataset
from fo1_data.errors import StorageError
from fo1_data.runs.in_process import run_in_process
from fo1_data.runs.shard_work import Assemble, LabelPiece, LabelWhole, ShardWork
from fo1_data.runs.tile_steps import TILES_A_STEP, plan_steps
from fo1_data.runs.watcher import Unwatched
from schemas.corpus import CorpusImage, Shard
from schemas.dataset import Manifest
from schemas.jobs import RunConfig
from schemas.progress import RunProgress

sys.path.insert(0, str(Path(__file__).parent))
from tile_labeller import FACTORY, SPOT_PX

RUN = """
import sys
sys.path.insert(0, sys.argv[1])
from fo1_data.runs.in_process import run_in_process
from schemas.jobs import RunConfig
run_in_process(RunConfig.model_validate_json(sys.argv[2]), None, "tile_labeller:TileLabeller")
"""
WH = (700, 500)
SPOTS = [(x, y) for x in range(20, 680, 60) for y in range(20, 480, 60)]


def draw_spots(path: Path, shift: int = 0) -> None:
    pixels = np.zeros((WH[1], WH[0]), np.uint8)
    for x, y in SPOTS:
        pixels[y + shift : y + shift + SPOT_PX, x : x + SPOT_PX] = 255
    Image.fromarray(pixels).save(path)


def config_of(corpus: Path, out: Path, **settings: Any) -> RunConfig:
    given = {"tile_px": 128, "tile_overlap": 0.25, "shard_size": 16, "labels": "brief_caption"}
    return RunConfig.model_validate({"corpus": str(corpus), "out": str(out), **given, **settings})


def run(config: RunConfig, monkeypatch: pytest.MonkeyPatch, log: Path) -> Manifest:
    monkeypatch.setenv("TILE_LOG", str(log))
    return run_in_process(config, None, FACTORY)


def killed_run(config: RunConfig, log: Path, at: int) -> None:
    """A run of its own process, which is killed at its tile `at`."""
    environment = {**os.environ, "TILE_LOG": str(log), "TILE_KILL_AT": str(at)}
    command = [sys.executable, "-c", RUN, str(Path(__file__).parent), config.model_dump_json()]
    killed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr


def rows_of(out: Path) -> list[dict[str, Any]]:
    dataset = open_dataset(str(out))
    return [row for file in dataset.data_files() for row in pq.read_table(out / file.path).to_pylist()]


def corners(row: dict[str, Any]) -> list[tuple[float, float]]:
    return sorted((region["box_xyxy"][0], region["box_xyxy"][1]) for region in row["regions"])


def test_a_tiled_image_is_one_row_with_every_region_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number in range(3):
        draw_spots(corpus / f"{number}.png", number)
    run(config_of(corpus, tmp_path / "out"), monkeypatch, tmp_path / "log")
    rows = rows_of(tmp_path / "out")
    assert [row["uri"] for row in rows] == [str(corpus / f"{number}.png") for number in range(3)]
    for number, row in enumerate(rows):
        assert corners(row) == [(x, y + number) for x, y in SPOTS]
        assert (row["width"], row["height"]) == WH
        assert [region["index"] for region in row["regions"]] == list(range(len(SPOTS)))
        tiles = json.loads(row["meta"])["tiles"]
        assert tiles == {"tile_px": 128, "overlap_px": 32, "columns": 7, "rows": 5, "empty": 0}
    assert validate_dataset(str(tmp_path / "out")) == []
    assert not (tmp_path / "out/.run/tiles").exists() or not any((tmp_path / "out/.run/tiles").iterdir())


def test_a_run_that_is_killed_in_mid_image_goes_on_at_its_next_tiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_spots(tmp_path / "a.png")
    config = config_of(tmp_path / "a.png", tmp_path / "out")
    killed_run(config, tmp_path / "first", at=21)
    first = (tmp_path / "first").read_text().splitlines()
    run(config, monkeypatch, tmp_path / "second")
    second = (tmp_path / "second").read_text().splitlines()
    assert len(first) == 20
    assert len(first) + len(second) - 36 < TILES_A_STEP
    assert len({*first, *second}) == 36
    assert corners(rows_of(tmp_path / "out")[0]) == SPOTS


@pytest.mark.parametrize("place", range(0, 10, 3))
def test_tiles_whose_stored_rows_are_damaged_are_labelled_again(
    place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_spots(tmp_path / "a.png")
    config = config_of(tmp_path / "a.png", tmp_path / "out")
    killed_run(config, tmp_path / "first", at=21)
    stored = sorted(path for path in (tmp_path / "out/.run/tiles").rglob("*") if path.is_file())
    content = bytearray(stored[0].read_bytes())
    content[len(content) * place // 10] ^= 0x10
    stored[0].write_bytes(content)
    with pytest.raises(StorageError, match="was damaged and is deleted: run again"):
        run(config, monkeypatch, tmp_path / "second")
    run(config, monkeypatch, tmp_path / "third")
    assert corners(rows_of(tmp_path / "out")[0]) == SPOTS
    assert len((tmp_path / "third").read_text().splitlines()) == TILES_A_STEP


def test_a_tile_that_cannot_be_labelled_rejects_its_image_alone_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    draw_spots(corpus / "a.png")
    Image.new("L", (150, 100)).save(corpus / "b.png")
    monkeypatch.setenv("TILE_RAISES", "tile@95,93,223,221@128/32")
    config = config_of(corpus, tmp_path / "out")
    manifest = run(config, monkeypatch, tmp_path / "log")
    assert (manifest.counts.images, manifest.counts.rejected) == (1, 1)
    reject = pq.read_table(tmp_path / "out/rejects.parquet").to_pylist()[0]
    assert reject["uri"] == str(corpus / "a.png")
    assert "tile@95,93,223,221" in reject["message"]
    assert "too much" in reject["message"]
    monkeypatch.setenv("TILE_RAISES", "-")
    replay = config.model_copy(update={"replay_rejects": True})
    again = run(replay, monkeypatch, tmp_path / "log")
    assert (again.counts.images, again.counts.rejected) == (2, 0)
    assert corners(rows_of(tmp_path / "out")[-1]) == SPOTS


def test_equal_images_in_tiles_share_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for name in ("a.png", "b.png"):
        draw_spots(corpus / name)
    manifest = run(config_of(corpus, tmp_path / "out"), monkeypatch, tmp_path / "log")
    assert manifest.counts.images == 1
    assert manifest.counts.regions == len(SPOTS)
    assert [duplicate.dropped for duplicate in manifest.duplicates] == [[str(corpus / "b.png")]]


def test_steps_hold_whole_images_where_they_fit_and_cut_larger_ones() -> None:
    sizes = [3, 4, 2, 20, 1]
    entries = [
        CorpusImage(uri=f"{image}.png", inner=f"tile@{tile},0,9,9@64/16")
        for image, size in enumerate(sizes)
        for tile in range(size)
    ]
    assert plan_steps(entries) == [(0, 7), (7, 9), (9, 17), (17, 25), (25, 30)]
    assert plan_steps([]) == []
    large = [CorpusImage(uri="a.png", inner=f"tile@{tile},0,9,9@2000/16") for tile in range(3)]
    assert plan_steps(large) == [(0, 1), (1, 2), (2, 3)]


def test_a_shard_larger_than_a_piece_is_handed_out_in_pieces() -> None:
    images = [CorpusImage(uri="a.png", inner=f"tile@{tile},0,9,9@64/16") for tile in range(10)]
    shards = [
        Shard(shard_id="a", index=0, images=images),
        Shard(shard_id="b", index=1, images=[CorpusImage(uri="b.png")]),
    ]
    work = ShardWork(shards, 3, piece_size=4)
    assert work.take_ahead() is None
    pieces = [work.take() for _ in range(3)]
    assert [(piece.start, piece.stop) for piece in pieces if isinstance(piece, LabelPiece)] == [
        (0, 4),
        (4, 8),
        (8, 10),
    ]
    whole = work.take_ahead()
    assert isinstance(whole, LabelWhole)
    assert whole.shard.shard_id == "b"
    for piece in pieces:
        assert isinstance(piece, LabelPiece)
        work.done(piece, f"{piece.start}-{piece.stop}")
    assemble = work.take()
    assert isinstance(assemble, Assemble)
    assert assemble.pieces == ("0-4", "4-8", "8-10")


def test_progress_of_images_in_tiles_counts_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_spots(tmp_path / "one.png")
    shown: list[RunProgress] = []

    class Shows(Unwatched):
        def show(self, progress: RunProgress) -> None:
            shown.append(progress)

    monkeypatch.setenv("TILE_LOG", str(tmp_path / "log"))
    run_in_process(config_of(tmp_path / "one.png", tmp_path / "out"), Shows(), FACTORY)
    assert (shown[-1].images, shown[-1].images_total, shown[-1].tiles_total) == (36, 36, 36)
    assert figures(shown[-1]).startswith("36/36 tiles · ")
    without = shown[-1].model_copy(update={"tiles_total": 0})
    assert figures(without).startswith("36/36 images · ")
