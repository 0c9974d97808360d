"""Large images that were labelled in tiles are trained on in tiles: every box once, in pixels of its tile."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from factories import make_count, make_dataset, make_image, make_row

from fo1_data.corpus.images import InputLimits
from fo1_data.errors import InputReject
from fo1_data.training.samples.open_examples import TrainingExample, open_cached, open_example
from fo1_data.training.samples.source import open_source
from schemas.images import ImageRow
from schemas.regions import Box

WIDTH, HEIGHT, TILE_PX, OVERLAP_PX = 1600, 700, 512, 96
BOXES: list[Box] = [
    (10, 20, 60, 70),
    (700, 300, 760, 340),
    (1500, 600, 1580, 680),
    (480, 100, 540, 160),
    (200, 100, 1400, 400),
]


def tiled_row(tmp_path: Path, **fields: object) -> ImageRow:
    meta = {"tiles": {"tile_px": TILE_PX, "overlap_px": OVERLAP_PX, "columns": 4, "rows": 2, "empty": 0}}
    row: ImageRow = make_row(
        1,
        width=WIDTH,
        height=HEIGHT,
        boxes=BOXES,
        folder=tmp_path / "images",
        meta=json.dumps(meta),
        **fields,
    )
    ids = [region.region_id for region in row.regions]
    row.groundings[0].region_ids = ids[:2]
    row.counts = [make_count([row.regions[place] for place in (0, 1, 3)])]
    return row


def examples_of(tmp_path: Path, row: ImageRow) -> list[TrainingExample]:
    make_dataset(tmp_path / "dataset", [row, make_row(2, folder=tmp_path / "images")])
    source = open_source([str(tmp_path / "dataset")])
    return [source.at(place) for place in range(len(source))]


@pytest.mark.parametrize("embed", [False, True])
def test_every_box_is_trained_on_once_where_it_lies_whole(tmp_path: Path, embed: bool) -> None:
    row = tiled_row(tmp_path, embed=embed)
    examples = examples_of(tmp_path, row)

    parts = [example for example in examples if example.window_xyxy is not None]
    shown = Counter(region.region_id for part in parts for region in (part.row.regions if part.row else []))
    assert shown == Counter(region.region_id for region in row.regions)
    assert len(examples) == len(parts) + 1
    assert len({part.image_id for part in parts}) == len(parts)
    whole = make_image(1, WIDTH, HEIGHT, BOXES)
    for part in parts:
        assert part.window_xyxy is not None
        image, entry = open_example(part, InputLimits())
        is_whole = part.window_xyxy == (0, 0, WIDTH, HEIGHT)
        assert image.rgb.tobytes() == whole.crop(part.window_xyxy).tobytes()
        assert (image.rgb.width <= TILE_PX) != is_whole
        for region, original in zip(entry.regions or [], part.row.regions if part.row else [], strict=True):
            assert region.box_xyxy == original.box_xyxy


def test_a_phrase_and_a_count_are_of_the_tile(tmp_path: Path) -> None:
    row = tiled_row(tmp_path)
    phrase, ids = row.groundings[0].phrase, [region.region_id for region in row.regions]
    parts = [part for part in examples_of(tmp_path, row) if part.window_xyxy is not None]

    rows = [part.row for part in parts if part.row is not None]
    of_region = {region.region_id: cut for cut in rows for region in cut.regions}
    assert of_region[ids[0]].groundings[0].region_ids == [ids[0]]
    assert of_region[ids[1]].groundings[0].phrase == phrase
    assert of_region[ids[2]].groundings == []
    assert all(part.entry.caption is None for part in parts)
    assert sorted(cut.counts[0].count for cut in rows if cut.counts) == [1, 2]


def test_features_of_tiles_are_kept_apart(tmp_path: Path) -> None:
    asked: list[str] = []
    parts = [part for part in examples_of(tmp_path, tiled_row(tmp_path)) if part.window_xyxy is not None]
    for part in parts:
        image, cached, _ = open_cached(part, InputLimits(), lambda image_id: asked.append(image_id))
        assert cached is None
        assert np.asarray(image.rgb).any()
    assert sorted(asked) == sorted(part.image_id or "" for part in parts)
    assert len(set(asked)) == len(parts)


def test_a_file_that_has_changed_is_not_trained_on(tmp_path: Path) -> None:
    parts = [part for part in examples_of(tmp_path, tiled_row(tmp_path)) if part.window_xyxy is not None]
    make_image(3, WIDTH, HEIGHT, BOXES).save(tmp_path / "images" / "00001.png")

    with pytest.raises(InputReject, match="holds another image now"):
        open_example(parts[0], InputLimits())
