"""Loads the proposer that `--proposals` names. Importing this module does not import torch."""

from typing import Any

from fo1_data.proposals.boxes_files import load_boxes_file
from fo1_data.proposals.corpus_boxes import AutoBoxes, CorpusBoxes
from fo1_data.proposals.detector_boxes import DetectorBoxes
from fo1_data.proposals.identity import BUNDLED_DETECTOR, is_boxes_file, tiny_detector_weights
from fo1_data.proposals.proposer import Proposer
from fo1_data.proposals.sought_words import SoughtWords
from fo1_data.proposals.video_boxes import VideoBoxes


def load_video_boxes(
    spec: str,
    *,
    device: Any = None,
    score_floor: float | None = None,
    nms_iou: float | None = None,
    max_proposals: int = 100,
    words: SoughtWords | None = None,
) -> VideoBoxes:
    """The proposer at a checkpoint of SAM 3 with its tracker, which follows things through videos too.

    Raises CheckpointError or ConfigError, each with a message of one line.
    """
    from fo1_data.proposals.detectors.sam3_video import load_sam3_video

    detector = load_sam3_video(spec, device=device, words=words, score_floor=score_floor, nms_iou=nms_iou)
    return VideoBoxes(spec, detector, score_floor, nms_iou, max_proposals, words)


def load_proposer(
    spec: str,
    *,
    device: Any = None,
    score_floor: float | None = None,
    nms_iou: float | None = None,
    max_proposals: int = 100,
    words: SoughtWords | None = None,
) -> Proposer:
    """The proposer that `--proposals` names.

    `spec` is `auto` (boxes of the corpus if it has them, else the bundled detector), `corpus`, `fo1-tiny`, a
    file of boxes (`.jsonl`, `.ndjson`, `.parquet`, `.geojson`, `.gpkg`), a folder of `fo1 train-detector`,
    or a folder or hub id of a transformers detector. A zero-shot detector looks for `words`. `score_floor`
    and `nms_iou` default to the detector's own.
    Raises CheckpointError, ConfigError or CorpusError, each with a message of one line.
    """
    if spec == "corpus":
        return CorpusBoxes()
    if is_boxes_file(spec):
        return load_boxes_file(spec)

    def wrap(name: str, detector: Any) -> DetectorBoxes:
        return DetectorBoxes(name, detector, score_floor, nms_iou, max_proposals, words)

    name = BUNDLED_DETECTOR if spec == "auto" else spec
    weights = tiny_detector_weights(name)
    if weights is not None:
        from fo1_data.proposals.tiny_detector import load_tiny_detector

        tiny = wrap(name, load_tiny_detector(device or "cpu", weights))
        return AutoBoxes(tiny) if spec == "auto" else tiny

    from fo1_data.proposals.detectors.loading import load_transformers_detector

    return wrap(spec, load_transformers_detector(spec, device=device, words=words))
