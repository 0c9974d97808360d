"""`--tile-px auto`: by the boxes that the bundled detector finds, and by those that a corpus gives."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fo1_data.benchmarks.tile_figures import draw_mosaic, make_scenes
from fo1_data.runs.plan import list_corpus
from fo1_data.runs.tile_choice import choose_tiles
from schemas.corpus import CorpusImage, CorpusRegion
from schemas.jobs import RunConfig


def config_of(corpus: Path, **settings: Any) -> RunConfig:
    return RunConfig.model_validate({"corpus": str(corpus), "out": "unused", "tile_px": "auto", **settings})


def test_a_mosaic_is_cut_so_that_its_scenes_are_seen_as_they_are(tmp_path: Path) -> None:
    draw_mosaic(make_scenes(5, 5_000_500), tmp_path / "a.png")
    planned = list_corpus(config_of(tmp_path / "a.png"))
    assert planned.choice is not None
    assert planned.choice.share_found is not None
    assert planned.choice.share_found < 0.5
    assert planned.config.tile_side_px is not None
    assert 256 <= planned.config.tile_side_px <= 512
    assert planned.num_cut == 1
    assert planned.num_tiles > 16
    assert "of the boxes that windows show" in str(planned.choice)


def test_a_single_scene_needs_no_tiles(tmp_path: Path) -> None:
    draw_mosaic(make_scenes(1, 5_000_500), tmp_path / "a.png")
    planned = list_corpus(config_of(tmp_path / "a.png"))
    assert planned.config.tile_px is None
    assert planned.num_cut == 0


@pytest.mark.parametrize(("side_px", "tile_px"), [(20, 320), (200, None)])
def test_boxes_that_are_given_are_measured_as_they_are(
    tmp_path: Path, side_px: int, tile_px: int | None
) -> None:
    Image.new("L", (4000, 3000)).save(tmp_path / "a.png")
    regions = [CorpusRegion(box_xyxy=(x, 10, x + side_px, 20)) for x in range(0, 2000, 100)]
    image = CorpusImage(uri=str(tmp_path / "a.png"), regions=regions)
    choice = choose_tiles([image], config_of(tmp_path / "a.png"))
    assert (choice.tile_px, choice.median_px) == (tile_px, side_px)


def test_without_boxes_nothing_is_cut(tmp_path: Path) -> None:
    Image.new("L", (900, 700)).save(tmp_path / "a.png")
    choice = choose_tiles([CorpusImage(uri=str(tmp_path / "a.png"))], config_of(tmp_path / "a.png"))
    assert choice.tile_px is None
    assert "too few to tell" in str(choice)
