"""The name and the hash of the source of boxes that `--proposals` names, without loading it.

Does not import torch.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from fo1_data.corpus.vector_files import VECTOR_SUFFIXES
from fo1_data.errors import CheckpointError
from fo1_data.home_folders import expand_home
from fo1_data.proposals.boxes_files import load_boxes_file
from fo1_data.proposals.corpus_boxes import CorpusBoxes, auto_name
from fo1_data.storage.addresses import suffix_of
from fo1_data.storage.json_text import parse_json

FILE_SUFFIXES = (".jsonl", ".ndjson", ".parquet", *VECTOR_SUFFIXES)
TINY_WEIGHTS = Path(__file__).resolve().parents[1] / "assets" / "fo1-tiny-detector" / "model.safetensors"
# A folder of `fo1 train-detector` holds these files; the first one names its kind.
DETECTOR_CONFIG, DETECTOR_WEIGHTS = "config.json", "model.safetensors"
TINY_KIND = "fo1-tiny-detector"
TINY_LICENCE = "Apache-2.0"
BUNDLED_DETECTOR = "fo1-tiny"
# SAM 3 with its tracker, as it is released.
SAM3_VIDEO = "sam3_video"
_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "README.md"]
_HUB_ID = re.compile(r"^[\w.-]+(/[\w.-]+)?$")


@dataclass(frozen=True)
class ProposerIdentity:
    """What the fingerprint of a run records of its source of boxes. sha256: None if only loading tells it."""

    name: str
    sha256: str | None


def is_boxes_file(spec: str) -> bool:
    """Whether `--proposals` names a file of boxes."""
    return suffix_of(spec) in FILE_SUFFIXES and not Path(spec).is_dir()


def is_detector(spec: str) -> bool:
    """Whether `--proposals` names a detector that is not bundled: a folder or a hub id."""
    return spec not in ("auto", "corpus", BUNDLED_DETECTOR) and not is_boxes_file(spec)


def detector_folder(spec: str, option: str = "--proposals") -> Path | None:
    """The folder of a transformers detector; None if it is a hub id. Raises CheckpointError for neither.

    option: the one that names it; `--masks` names a model that is no detector, but is found in the same way.
    """
    path = expand_home(spec)
    if path.is_dir():
        if not (path / "config.json").is_file():
            kind = "a detector" if option == "--proposals" else "a checkpoint"
            raise CheckpointError(f"{spec} is not {kind}: it holds no config.json")
        return path
    if not _HUB_ID.match(spec):
        others = (
            "auto, corpus, fo1-tiny, a file of boxes (.jsonl, .parquet, .geojson, .gpkg), "
            if option == "--proposals"
            else ""
        )
        raise CheckpointError(f"{option} {spec}: it is neither {others}a checkpoint's folder nor a hub id")
    return None


def tiny_detector_weights(spec: str) -> Path | None:
    """The weights of the bundled detector, or of one that was trained from it; None for any other detector.

    `spec`: as of `--proposals`.
    """
    if spec == BUNDLED_DETECTOR:
        return TINY_WEIGHTS
    folder = expand_home(spec)
    try:
        config = parse_json((folder / DETECTOR_CONFIG).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    is_tiny = isinstance(config, dict) and config.get("model_type") == TINY_KIND
    return folder / DETECTOR_WEIGHTS if is_tiny else None


def find_detector(spec: str, option: str = "--proposals") -> Path:
    """The folder of a transformers detector; a hub id is fetched if it is not cached. CheckpointError."""
    folder = detector_folder(spec, option)
    if folder is not None:
        return folder
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(spec, allow_patterns=_HUB_FILES))
    except Exception as error:
        # The hub's client raises its own errors and those of requests and httpx.
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise CheckpointError(f"{option} {spec} cannot be loaded from the hub: {reason}") from error


def model_type_of(spec: str) -> str | None:
    """The kind of model at a detector's folder or hub id, as its configuration names it; None if it does not.

    Only the configuration is fetched of a hub id. Raises CheckpointError where it cannot be read.
    """
    folder = detector_folder(spec)
    try:
        file = folder / "config.json" if folder is not None else _config_from_hub(spec)
        config = parse_json(file.read_text("utf-8"))
    except Exception as error:
        # The hub's client raises its own errors and those of requests and httpx.
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise CheckpointError(f"--proposals {spec}: its config.json cannot be read: {reason}") from error
    return config.get("model_type") if isinstance(config, dict) else None


def _config_from_hub(spec: str) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(spec, "config.json"))


def detector_digest(folder: Path) -> "hashlib._Hash":
    """The SHA-256 so far of names and contents of a detector's weight and configuration files."""
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.safetensors"), *folder.glob("*.json")]):
        digest.update(path.name.encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest


def identify_proposer(spec: str) -> ProposerIdentity:
    """The identity of the source of boxes that `spec` names; see `load.load_proposer`.

    Raises CheckpointError, ConfigError or CorpusError if there is none.
    """
    if spec in ("auto", BUNDLED_DETECTOR):
        name = auto_name(BUNDLED_DETECTOR) if spec == "auto" else BUNDLED_DETECTOR
        return ProposerIdentity(name, _sha256_of_bundled_detector())
    if spec == "corpus" or is_boxes_file(spec):
        proposer = CorpusBoxes() if spec == "corpus" else load_boxes_file(spec)
        return ProposerIdentity(proposer.name, proposer.sha256)
    detector_folder(spec)
    return ProposerIdentity(spec, None)


def _sha256_of_bundled_detector() -> str:
    try:
        return hashlib.sha256(TINY_WEIGHTS.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"the bundled detector is missing from this installation: {error}") from error
