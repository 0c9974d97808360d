"""Boxes of a large image by tiles, against SAHI's slicing around the same detector.

    python -m fo1_data.benchmarks.slicing [--sides 8,16] [--rounds 2] [--seed N]

Needs SAHI (`pip install sahi`). The image is a mosaic of generated scenes. Both ways use the bundled detector
on windows of 320 px that overlap by 0.3, with the same score floor and the same NMS within a window, and look
at the whole image once as well. Every measurement is a process of its own, the ways in turns; imports, the
detector and a first detection are not counted in the time, but in the memory. Prints JSON.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fo1_data.benchmarks.tile_figures import draw_mosaic, make_scenes, match_boxes
from fo1_data.boxes import Boxes, as_boxes
from fo1_data.corpus.images import InputLimits
from fo1_data.corpus.tile_grid import TileGrid
from fo1_data.corpus.tile_names import TileName
from fo1_data.corpus.tile_reading import read_tile
from fo1_data.corpus.tile_twins import WHOLE, unite_boxes
from fo1_data.errors import ConfigError
from fo1_data.proposals.detector_boxes import DetectorBoxes
from fo1_data.proposals.load import load_proposer
from schemas.corpus import CorpusImage

TILE_PX, OVERLAP = 320, 0.3
# SAHI's own choice, and the one that does not merge small things into large ones.
_POSTPROCESSES = {"sahi": ("GREEDYNMM", "IOS"), "sahi, NMS by IoU": ("NMS", "IOU")}
WAYS = ("tiles", *_POSTPROCESSES)


def main() -> None:
    """Measure all ways in turns, or one of them in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", default="8,16", help="scenes in a row of each mosaic")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seed", type=int, default=6_000_000)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--image", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way is not None:
        print(json.dumps(_measure(arguments.way, arguments.image)))
        return
    document = {
        f"{side} x {side} scenes": _compare(int(side), arguments.seed, arguments.rounds)
        for side in arguments.sides.split(",")
    }
    print(json.dumps(document, indent=1))


def _compare(side: int, seed: int, rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "mosaic.png")
        gold = as_boxes([thing.box_xyxy for thing in draw_mosaic(make_scenes(side, seed), Path(path))])
        measured: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
        for _ in range(rounds):
            for way in WAYS:
                command = [sys.executable, "-m", "fo1_data.benchmarks.slicing", "--way", way, "--image", path]
                found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                measured[way].append(json.loads(found.stdout))
    return {way: _figures(runs, gold) for way, runs in measured.items()}


def _figures(runs: list[dict[str, Any]], gold: Boxes) -> dict[str, Any]:
    boxes = as_boxes(runs[0]["boxes"])
    num_right = len(match_boxes(gold, boxes))
    return {
        "boxes": len(boxes),
        "recall": round(num_right / len(gold), 4),
        "precision": round(num_right / max(1, len(boxes)), 4),
        "processor_s": [round(run["processor_s"], 2) for run in runs],
        "wall_s": [round(run["wall_s"], 2) for run in runs],
        "memory_mib": max(round(run["memory_mib"]) for run in runs),
        "memory_before_mib": max(round(run["memory_before_mib"]) for run in runs),
    }


def _measure(way: str, path: str) -> dict[str, Any]:
    proposer = load_proposer("fo1-tiny")
    assert isinstance(proposer, DetectorBoxes)
    find = _find_by_tiles(proposer) if way == "tiles" else _find_by_sahi(proposer, *_POSTPROCESSES[way])
    proposer.propose([Image.new("RGB", (TILE_PX, TILE_PX))], [CorpusImage(uri="")])
    memory_before_mib = _memory_mib()
    started_s, started_cpu_s = time.monotonic(), time.process_time()
    boxes = find(path)
    return {
        "processor_s": time.process_time() - started_cpu_s,
        "wall_s": time.monotonic() - started_s,
        "memory_mib": _memory_mib(),
        "memory_before_mib": memory_before_mib,
        "boxes": boxes.tolist(),
    }


def _memory_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _find_by_tiles(proposer: DetectorBoxes) -> Callable[[str], Boxes]:
    """The boxes of an image as labelling in tiles proposes and unites them."""

    def find(path: str) -> Boxes:
        overlap_px, limits = round(TILE_PX * OVERLAP), InputLimits()
        with Image.open(path) as image:
            grid = TileGrid(image.size, TILE_PX, overlap_px)
        windows = {place: grid.window(place) for place in grid.places()}
        found, places = [], []
        for place, window in [*windows.items(), (WHOLE, None)]:
            name = TileName(window, TILE_PX, overlap_px)
            read = read_tile(name.of(CorpusImage(uri=path)), name, limits)
            (proposals,) = proposer.propose([read.image.rgb], [CorpusImage(uri=path)])
            kept = proposals.boxes_xyxy[read.tile.stays(proposals.boxes_xyxy)]
            found.append(read.tile.boxes_to_image(kept))
            places.append(np.tile(place, (len(kept), 1)))
        boxes = np.concatenate(found)
        return unite_boxes(grid, boxes, np.concatenate(places), np.ones(len(boxes), np.bool_)).boxes_xyxy

    return find


def _find_by_sahi(proposer: DetectorBoxes, postprocess: str, metric: str) -> Callable[[str], Boxes]:
    """The boxes of an image as SAHI slices it and puts them together. Raises ConfigError without SAHI."""
    try:
        from sahi.models.base import DetectionModel
        from sahi.predict import get_sliced_prediction
        from sahi.prediction import ObjectPrediction
    except ImportError as error:
        raise ConfigError(f"this comparison needs SAHI (pip install sahi): {error}") from None

    class _Detector(DetectionModel):  # type: ignore[misc]
        """The bundled detector as SAHI calls it."""

        def load_model(self) -> None:
            self.model, self.category_mapping = proposer, {"0": "object"}

        def perform_inference(self, image: "np.ndarray[Any, Any]") -> None:
            self._original_predictions = proposer.propose([Image.fromarray(image)], [CorpusImage(uri="")])

        @property
        def category_names(self) -> list[str]:
            return ["object"]

        def _create_object_prediction_list_from_original_predictions(
            self, shift_amount_list: Any = None, full_shape_list: Any = None
        ) -> None:
            (proposals,) = self._original_predictions
            assert proposals.objectness is not None
            shift = (shift_amount_list or [[0, 0]])[0]
            shift = shift if np.ndim(shift) else shift_amount_list
            shape = full_shape_list[0] if full_shape_list and np.ndim(full_shape_list[0]) else full_shape_list
            self._object_prediction_list_per_image = [
                [
                    ObjectPrediction(
                        bbox=box.tolist(),
                        category_id=0,
                        score=float(score),
                        category_name="object",
                        shift_amount=shift,
                        full_shape=shape,
                    )
                    for box, score in zip(proposals.boxes_xyxy, proposals.objectness, strict=True)
                ]
            ]

    detector = _Detector(confidence_threshold=proposer.score_floor, device="cpu")

    def find(path: str) -> Boxes:
        result = get_sliced_prediction(
            path,
            detector,
            slice_height=TILE_PX,
            slice_width=TILE_PX,
            overlap_height_ratio=OVERLAP,
            overlap_width_ratio=OVERLAP,
            postprocess_type=postprocess,
            postprocess_match_metric=metric,
            force_postprocess_type=True,
            verbose=0,
        )
        return as_boxes([found.bbox.to_xyxy() for found in result.object_prediction_list])

    return find


if __name__ == "__main__":
    main()
