"""HOTA, IDF1 and MOTA of predicted tracks, by trackeval (the extra `tracks`).

Tracks are compared without their classes and at every frame, by the intersection over union of boxes in
float64. `hota`, `deta` and `assa` are means over the 19 thresholds 0.05 to 0.95; `idf1` and `mota` are at
0.5. Videos are combined as trackeval combines sequences: by summed counts, not by the mean of the videos'
figures. Frames in which neither side has a box count for nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fo1_data.boxes import iou_matrix
from fo1_data.errors import ConfigError
from schemas.corpus import GivenTrack

Results = dict[str, dict[str, Any]]

_HOTA = {"hota": "HOTA", "deta": "DetA", "assa": "AssA", "loca": "LocA"}
_IDENTITY = {"idf1": "IDF1", "id_precision": "IDP", "id_recall": "IDR"}
_CLEAR = {"mota": "MOTA", "motp": "MOTP"}
_COUNTS = {"id_switches": "IDSW", "false_positives": "CLR_FP", "misses": "CLR_FN"}


def load_metrics() -> dict[str, Any]:
    """trackeval's metrics by name. Raises ConfigError if it is not installed."""
    try:
        from trackeval.metrics import CLEAR, HOTA, Identity
    except ImportError:
        message = "tracks are scored by trackeval, which is not installed: install fo1-data[tracks]"
        raise ConfigError(message) from None
    # Without this they print their configuration on standard output.
    quiet = {"PRINT_CONFIG": False}
    return {"hota": HOTA(), "identity": Identity(dict(quiet)), "clear": CLEAR(dict(quiet))}


def score_video(
    metrics: Mapping[str, Any], predicted: Sequence[GivenTrack], gold: Sequence[GivenTrack]
) -> Results:
    """trackeval's results of one video, by metric; `combine` and `figures_of` take them."""
    data = sequence_data(predicted, gold)
    return {name: metric.eval_sequence(data) for name, metric in metrics.items()}


def combine(metrics: Mapping[str, Any], results: Sequence[Results]) -> Results:
    """The results of several videos as one."""
    numbered = {name: {str(n): result[name] for n, result in enumerate(results)} for name in metrics}
    return {name: metric.combine_sequences(numbered[name]) for name, metric in metrics.items()}


def figures_of(results: Results) -> dict[str, float | int]:
    """The figures of a video or of several, rounded."""
    shares = {name: float(np.mean(results["hota"][field])) for name, field in _HOTA.items()}
    shares |= {name: float(results["identity"][field]) for name, field in _IDENTITY.items()}
    shares |= {name: float(results["clear"][field]) for name, field in _CLEAR.items()}
    counts = {name: int(results["clear"][field]) for name, field in _COUNTS.items()}
    return {**{name: round(value, 6) for name, value in shares.items()}, **counts}


def sequence_data(predicted: Sequence[GivenTrack], gold: Sequence[GivenTrack]) -> dict[str, Any]:
    """A video as trackeval's metrics take it: for every frame, who is there and how alike the boxes are.

    The similarities of a frame are (gold, predicted), 0 to 1.
    """
    sides = {"gt": gold, "tracker": predicted}
    num_frames = max((track.frames[-1] + 1 for side in sides.values() for track in side), default=0)
    data: dict[str, Any] = {"num_timesteps": num_frames}
    boxes = {}
    for name, side in sides.items():
        data[f"{name}_ids"], boxes[name] = _by_frame(side, num_frames)
        data[f"num_{name}_ids"] = len(side)
        data[f"num_{name}_dets"] = sum(len(track.frames) for track in side)
    data["similarity_scores"] = [
        iou_matrix(gold_boxes, predicted_boxes)  # type: ignore[arg-type]
        for gold_boxes, predicted_boxes in zip(boxes["gt"], boxes["tracker"], strict=True)
    ]
    return data


def _by_frame(
    tracks: Sequence[GivenTrack], num_frames: int
) -> tuple[list[npt.NDArray[np.int64]], list[npt.NDArray[np.float64]]]:
    """For each frame the numbers of its tracks and their boxes (N, 4)."""
    numbers: list[list[int]] = [[] for _ in range(num_frames)]
    boxes: list[list[Sequence[float]]] = [[] for _ in range(num_frames)]
    for number, track in enumerate(tracks):
        for frame, box in zip(track.frames, track.boxes_xyxy, strict=True):
            numbers[frame].append(number)
            boxes[frame].append(box)
    return (
        [np.array(of_frame, np.int64) for of_frame in numbers],
        [np.array(of_frame, np.float64).reshape(-1, 4) for of_frame in boxes],
    )
