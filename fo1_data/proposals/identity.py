"""The name and the hash of the source of boxes that `--proposals` names, without loading it.

Does not import torch.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from fo1_data.boxes import Boxes
from fo1_data.errors import CheckpointError
from fo1_data.proposals.corpus_boxes import AutoBoxes, CorpusBoxes
from fo1_data.proposals.detector_boxes import DetectorBoxes, Scores
from fo1_data.proposals.file_boxes import FileBoxes
from fo1_data.proposals.proposer import Proposer
from fo1_data.storage.addresses import suffix_of

FILE_SUFFIXES = (".jsonl", ".ndjson", ".parquet")
TINY_WEIGHTS = Path(__file__).resolve().parents[1] / "assets" / "fo1-tiny-detector" / "model.safetensors"
TINY_LICENCE = "Apache-2.0"
_HUB_ID = re.compile(r"^[\w.-]+(/[\w.-]+)?$")


@dataclass(frozen=True)
class ProposerIdentity:
    """What the fingerprint of a run records of its source of boxes. sha256: None if only loading tells it."""

    name: str
    sha256: str | None


def is_boxes_file(spec: str) -> bool:
    """Whether `--proposals` names a file of boxes."""
    return suffix_of(spec) in FILE_SUFFIXES and not Path(spec).is_dir()


def detector_folder(spec: str) -> Path | None:
    """The folder of a transformers detector; None if it is a hub id. Raises CheckpointError for neither."""
    path = Path(spec).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise CheckpointError(f"{spec} is not a detector: it holds no config.json")
        return path
    if not _HUB_ID.match(spec):
        raise CheckpointError(
            f"--proposals {spec}: it is neither auto, corpus, fo1-tiny, a .jsonl or .parquet file, "
            "a detector's folder nor a hub id"
        )
    return None


def identify_proposer(spec: str) -> ProposerIdentity:
    """The identity of the source of boxes that `spec` names; see `load.load_proposer`.

    Raises CheckpointError, ConfigError or CorpusError if there is none.
    """
    proposer: Proposer
    if spec == "corpus":
        proposer = CorpusBoxes()
    elif is_boxes_file(spec):
        proposer = FileBoxes(spec)
    elif spec in ("auto", "fo1-tiny"):
        tiny = DetectorBoxes("fo1-tiny", _UnloadedTinyDetector(), None, None, max_proposals=1)
        proposer = AutoBoxes(tiny) if spec == "auto" else tiny
    else:
        detector_folder(spec)
        return ProposerIdentity(spec, None)
    return ProposerIdentity(proposer.name, proposer.sha256)


class _UnloadedTinyDetector:
    """What names the bundled detector."""

    licence: str | None = TINY_LICENCE
    default_score_floor = default_nms_iou = 0.0

    def __init__(self) -> None:
        try:
            self.sha256 = hashlib.sha256(TINY_WEIGHTS.read_bytes()).hexdigest()
        except OSError as error:
            raise CheckpointError(
                f"the bundled detector is missing from this installation: {error}"
            ) from error

    def detect(self, images: list[Image.Image]) -> list[tuple[Boxes, Scores]]:
        """Not possible without the weights."""
        raise NotImplementedError
