"""Proposals: the boxes of an image that the model will be asked about, and who makes them.

Boxes are absolute pixels of the EXIF-oriented original image, x_min, y_min, x_max, y_max, in the
order in which they are shown to the model. Boxes that were given (by the corpus or a file) are all
kept in their order; the score floor, NMS and the limit of 100 belong to detectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from fo1_data.corpus.addresses import suffix_of
from schemas.corpus import CorpusImage, CorpusRegion

FILE_SUFFIXES = (".jsonl", ".ndjson", ".parquet")


@dataclass(frozen=True)
class Proposals:
    """The boxes of one image.

    `boxes_xyxy` (N, 4) float32; `objectness` (N,) float32, 0 to 1, None where the boxes were given;
    `regions` what the corpus says of each box, None where they were detected.
    """

    boxes_xyxy: npt.NDArray[np.float32]
    objectness: npt.NDArray[np.float32] | None = None
    regions: list[CorpusRegion] | None = None


class Proposer(Protocol):
    """Makes the boxes of images.

    `sha256` tells the weights or the file apart from others; `licence` is that of a detector's
    weights; `detects` is False where all boxes are given.
    """

    name: str
    sha256: str
    licence: str | None
    detects: bool

    def give(self, entries: list[CorpusImage]) -> list[CorpusImage]:
        """Entries as this proposer wants them, before their boxes are brought into the oriented frame:
        a file of boxes puts its own in place of the corpus', everyone else changes nothing."""
        ...

    def propose(self, images: list[Image.Image], entries: list[CorpusImage]) -> list[Proposals]:
        """The proposals of each upright RGB image; the entries' regions are oriented and clipped."""
        ...


def load_proposer(
    spec: str,
    *,
    device: Any = None,
    score_floor: float | None = None,
    nms_iou: float | None = None,
    max_proposals: int = 100,
    vocabulary: Sequence[str] = (),
) -> Proposer:
    """The proposer that `--proposals` names.

    `auto` (boxes of the corpus where it has them, else the bundled detector), `corpus`, `fo1-tiny`, a
    file of boxes (`.jsonl`, `.parquet`), or a folder or hub id of a transformers detector, whose
    zero-shot kind looks for `vocabulary`. `score_floor` and `nms_iou` default to the detector's own.
    Raises CheckpointError, ConfigError or CorpusError in one line.
    """
    from fo1_data.proposals.corpus_boxes import AutoBoxes, CorpusBoxes

    if spec == "corpus":
        return CorpusBoxes()
    if suffix_of(spec) in FILE_SUFFIXES and not Path(spec).is_dir():
        from fo1_data.proposals.file_boxes import FileBoxes

        return FileBoxes(spec)

    from fo1_data.proposals.detector_boxes import DetectorBoxes

    def wrap(name: str, detector: Any) -> DetectorBoxes:
        return DetectorBoxes(name, detector, score_floor, nms_iou, max_proposals)

    if spec in ("auto", "fo1-tiny"):
        from fo1_data.proposals.tiny_detector import load_tiny_detector

        tiny = wrap("fo1-tiny", load_tiny_detector(device or "cpu"))
        return AutoBoxes(tiny) if spec == "auto" else tiny

    from fo1_data.proposals.transformers_detector import load_transformers_detector

    return wrap(spec, load_transformers_detector(spec, device=device, vocabulary=vocabulary))
