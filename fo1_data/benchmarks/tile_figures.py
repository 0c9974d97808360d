"""Figures of labelling in tiles: what is found in a mosaic of scenes, how time grows, and memory.

    python -m fo1_data.benchmarks.tile_figures mosaic|growth|uniting|memory|resume [--seed N] [--work DIR]

`mosaic`: 8 x 8 generated scenes on one canvas of 2,688 px, labelled as a whole, in tiles of a given size and
of the size that `auto` takes; beside them, the same scenes labelled one by one. `growth`: processor time at
1 to 64 times the area. `uniting`: that of uniting boxes alone. `memory` and `resume`: see
`fo1_data.benchmarks.large_image`. Prints JSON.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from fo1_data.benchmarks.large_image import SCENE_PX, measure_memory, measure_resume
from fo1_data.boxes import Boxes, as_boxes, iou_matrix
from fo1_data.corpus.tile_grid import Places, TileGrid
from fo1_data.corpus.tile_ownership import stays_in_tile
from fo1_data.corpus.tile_twins import unite_boxes
from fo1_data.dataset.reader import open_dataset
from fo1_data.runs.in_process import run_in_process
from fo1_data.synthetic.gold import gold_of
from fo1_data.synthetic.scenes import Scene, SceneObject, make_scene
from fo1_data.synthetic.shapes import COLOURS, FILLS, NAMES, SIZES
from fo1_data.synthetic.wording import Phrase
from schemas.input_settings import DEFAULT_TILE_OVERLAP
from schemas.jobs import RunConfig

_NUM_PHRASES = 24


def main() -> None:
    """Measure one part and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["mosaic", "growth", "uniting", "memory", "resume"])
    parser.add_argument("--seed", type=int, default=5_000_000, help="seed of the first scene")
    parser.add_argument("--work", type=Path, help="folder for images and datasets (default: a temporary one)")
    parser.add_argument("--tile-px", default="320")
    arguments = parser.parse_args()
    parts = {
        "mosaic": measure_mosaic,
        "growth": measure_growth,
        "uniting": measure_uniting,
        "memory": measure_memory,
        "resume": measure_resume,
    }
    part = parts[arguments.part]
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print(json.dumps(part(folder, arguments.seed, arguments.tile_px), indent=1))


def make_scenes(side: int, seed: int) -> list[Scene]:
    """`side` x `side` scenes, row by row."""
    return [make_scene(seed + place, canvas_wh=(SCENE_PX, SCENE_PX)) for place in range(side * side)]


def draw_mosaic(scenes: Sequence[Scene], path: Path) -> list[SceneObject]:
    """Write the scenes as one picture; returns their objects with boxes in its pixels."""
    side = round(len(scenes) ** 0.5)
    canvas = Image.new("RGB", (side * SCENE_PX, side * SCENE_PX))
    objects = []
    for place, scene in enumerate(scenes):
        left, top = place % side * SCENE_PX, place // side * SCENE_PX
        canvas.paste(scene.image, (left, top))
        for thing in scene.objects:
            x_min, y_min, x_max, y_max = thing.box_xyxy
            box = (x_min + left, y_min + top, x_max + left, y_max + top)
            objects.append(SceneObject(thing.shape, thing.colour, thing.fill, thing.size, box, thing.text))
    canvas.save(path)
    return objects


def measure_mosaic(folder: Path, seed: int, tile_px: str) -> dict[str, Any]:
    """What is found in a mosaic, by how it is labelled."""
    scenes = make_scenes(8, seed)
    objects = draw_mosaic(scenes, folder / "mosaic.png")
    alone = folder / "scenes"
    alone.mkdir(exist_ok=True)
    for place, scene in enumerate(scenes):
        scene.image.save(alone / f"{place:02d}.png")
    phrases = _draw_phrases(scenes, seed)
    ways: dict[str, tuple[Path, dict[str, Any]]] = {
        "whole": (folder / "mosaic.png", {}),
        f"tiles of {tile_px}": (folder / "mosaic.png", {"tile_px": tile_px, "tile_overlap": 0.3}),
        "auto": (folder / "mosaic.png", {"tile_px": "auto"}),
        "one by one": (alone, {}),
    }
    document: dict[str, Any] = {"objects": len(objects), "phrases": list(phrases)}
    for number, (name, (corpus, settings)) in enumerate(ways.items()):
        labels = {"labels": "brief_caption,count", "vocabulary": list(phrases), "second_questions": "none"}
        started_s = time.process_time()
        out = folder / f"out-{number}"
        config = RunConfig.model_validate({"corpus": str(corpus), "out": str(out), **labels, **settings})
        manifest = run_in_process(config)
        rows = _rows_of(out)
        document[name] = {
            "tile_px": manifest.config["tile_px"],
            **_found(rows, objects),
            **_counted(rows, phrases, objects),
            "processor_s": round(time.process_time() - started_s, 1),
        }
    return document


def _draw_phrases(scenes: Sequence[Scene], seed: int) -> dict[str, Phrase]:
    """Phrases of two to four attributes that the gold of the scenes counts."""
    texts = dict.fromkeys(count.text for scene in scenes for count in gold_of(scene, "scene").counts)
    phrases = {text: _phrase_of(text) for text in texts if len(text.split()) > 1}
    order = np.random.default_rng(seed).permutation(sorted(phrases))[:_NUM_PHRASES]
    return {str(text): phrases[str(text)] for text in order}


def _phrase_of(text: str) -> Phrase:
    words = text.split()
    kinds = {"shape": NAMES, "colour": COLOURS, "fill": FILLS, "size": SIZES}
    return Phrase(
        **{kind: next((word for word in words if word in of_kind), None) for kind, of_kind in kinds.items()}
    )


def _rows_of(out: Path) -> list[dict[str, Any]]:
    dataset = open_dataset(str(out))
    rows = [row for file in dataset.data_files() for row in pq.read_table(out / file.path).to_pylist()]
    return sorted(rows, key=lambda row: str(row["uri"]))


def _found(rows: Sequence[dict[str, Any]], objects: Sequence[SceneObject]) -> dict[str, Any]:
    """Recall and precision of the boxes at IoU .5, and the brief captions of matched regions.

    Rows of single scenes are put in their places on the mosaic.
    """
    regions, boxes = [], []
    for place, row in enumerate(rows):
        shift = [place % 8 * SCENE_PX, place // 8 * SCENE_PX] * 2 if len(rows) > 1 else [0] * 4
        regions += row["regions"]
        boxes += [np.add(region["box_xyxy"], shift) for region in row["regions"]]
    pairs = match_boxes(as_boxes([thing.box_xyxy for thing in objects]), as_boxes(boxes))
    captions = [str(regions[region]["brief_caption"]).split() for _, region in pairs]
    right = [
        objects[thing].colour in caption and objects[thing].shape in caption
        for (thing, _), caption in zip(pairs, captions, strict=True)
    ]
    return {
        "regions": len(regions),
        "recall": round(len(pairs) / len(objects), 4),
        "precision": round(len(pairs) / max(1, len(regions)), 4),
        "captions_right": round(float(np.mean(right)), 4) if right else None,
    }


def match_boxes(gold: np.ndarray[Any, Any], boxes: np.ndarray[Any, Any]) -> list[tuple[int, int]]:
    """Pairs of one gold box and one other with an IoU of at least .5, the best first, each box once."""
    overlaps = iou_matrix(gold, boxes)
    things, regions = np.nonzero(overlaps >= 0.5)
    pairs, used_things, used_regions = [], set(), set()
    for place in np.argsort(-overlaps[things, regions], kind="stable"):
        thing, region = int(things[place]), int(regions[place])
        if thing not in used_things and region not in used_regions:
            used_things.add(thing)
            used_regions.add(region)
            pairs.append((thing, region))
    return pairs


def _counted(
    rows: Sequence[dict[str, Any]], phrases: dict[str, Phrase], objects: Sequence[SceneObject]
) -> dict[str, Any]:
    """Counts of the whole mosaic: how many are exact, and how far they are off."""
    errors = []
    for text, phrase in phrases.items():
        counted = sum(count["count"] for row in rows for count in row["counts"] if count["phrase"] == text)
        errors.append(abs(counted - len(phrase.matches(objects))))
    return {
        "counts_exact": round(float(np.mean([error == 0 for error in errors])), 4),
        "counts_off_by_one_at_most": round(float(np.mean([error <= 1 for error in errors])), 4),
        "counts_mean_error": round(float(np.mean(errors)), 3),
    }


def measure_growth(folder: Path, seed: int, tile_px: str) -> dict[str, Any]:
    """Processor time at 1, 4, 16 and 64 times the area of 2 x 2 scenes, at most four boxes a tile."""
    document = {}
    warm_up = {"labels": "brief_caption", "tile_px": tile_px, "max_proposals": 4, "second_questions": "none"}
    for side in (2, 4, 8, 16):
        path = folder / f"growth-{side}.png"
        draw_mosaic(make_scenes(side, seed), path)
        started_s = time.process_time()
        config = RunConfig.model_validate(
            {"corpus": str(path), "out": str(folder / f"growth-{side}"), **warm_up}
        )
        manifest = run_in_process(config)
        seconds = time.process_time() - started_s
        tiles = json.loads(_rows_of(folder / f"growth-{side}")[0]["meta"])["tiles"]
        num_tiles = tiles["columns"] * tiles["rows"] + 1
        document[f"{side * side} scenes"] = {
            "tiles": num_tiles,
            "regions": manifest.counts.regions,
            "processor_s": round(seconds, 2),
            "ms_a_tile": round(1000 * seconds / num_tiles, 1),
        }
    return document


def measure_uniting(folder: Path, seed: int, tile_px: str) -> dict[str, Any]:
    """Processor time of uniting what is found in tiles, at 1 to 64 times the area of 1,344 px square."""
    document = {}
    for side in (1344, 2688, 5376, 10752):
        grid = TileGrid((side, side), int(tile_px), round(int(tile_px) * DEFAULT_TILE_OVERLAP))
        draw = np.random.default_rng(seed)
        corners = draw.uniform(0, side - 30, (round(812 * (side / 2688) ** 2), 2))
        things = as_boxes(np.concatenate([corners, corners + draw.uniform(10, 30, corners.shape)], axis=1))
        boxes, places = _seen(grid, things, draw)
        started_s = time.process_time()
        united = unite_boxes(grid, boxes, places, np.ones(len(boxes), np.bool_))
        seconds = time.process_time() - started_s
        document[f"{side} px"] = {
            "tiles": grid.columns * grid.rows,
            "things": len(things),
            "boxes": len(boxes),
            "kept": len(united.kept),
            "processor_s": round(seconds, 3),
            "us_a_tile": round(1e6 * seconds / (grid.columns * grid.rows)),
        }
    return document


def _seen(grid: TileGrid, things: Boxes, draw: np.random.Generator) -> tuple[Boxes, Places]:
    """Boxes of the things in every tile, off by up to 1.5 px, that stay in it, and their tiles."""
    boxes, places = [], []
    for place in grid.places():
        left, top, right, bottom = grid.window(place)
        is_near = (
            (things[:, 0] < right) & (things[:, 2] > left) & (things[:, 1] < bottom) & (things[:, 3] > top)
        )
        moved = things[is_near] + draw.uniform(-1.5, 1.5, (int(is_near.sum()), 4))
        found = as_boxes(np.clip(moved, [left, top] * 2, [right, bottom] * 2))
        found = found[(found[:, 2:] - found[:, :2]).min(axis=1, initial=np.inf) > 4]
        found = found[stays_in_tile(grid, place, found)]
        boxes.append(found)
        places += [place] * len(found)
    return np.concatenate(boxes), np.array(places, np.int64).reshape(-1, 2)


if __name__ == "__main__":
    main()
