"""The fingerprint of a run: everything its rows depend on, as a flat document.

It covers every setting that can change a row, the weights of model and proposer, the wording of the
questions, the contents of side files, and the corpus' listing. Addresses are left out, and so are settings
that only change how fast a run is. A run is not resumed under another fingerprint.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fo1_data.config import corpus_name
from fo1_data.dataset.begun_run import LATE_ENTRIES
from fo1_data.home_folders import expand_home
from fo1_data.labelling.identity import LabellerIdentity, PreliminaryIdentity
from fo1_data.proposals.identity import detector_digest
from fo1_data.storage.addresses import normalise
from fo1_data.storage.streams import read_whole
from schemas.dataset import SCHEMA_VERSION
from schemas.input_settings import DEFAULT_FRAME_EVERY_S
from schemas.jobs import NOT_IN_FINGERPRINT, RunConfig

# Stand for files or folders: their contents count, not their addresses.
_BY_CONTENT = (
    "model",
    "proposals",
    "masks",
    "second_opinion",
    "phrases",
    "calibration",
    "parent",
    "corpus",
)
# Change nothing where the corpus has no DICOM file.
_DICOM = ("window", "allow_burned_in_text", "keep_dicom_paths", "dicom_max_frames")
DECODERS = "dicom_decoders"
_VIDEO = ("tracker", "track_every", "frame_every_s")
TRACKER = "tracker"


@dataclass(frozen=True)
class ListedCorpus:
    """What rows depend on of a listed corpus: SHA-256 (hex) of the listing, whether its addresses are hidden,
    the packages that decode its DICOM files, with their versions (none: it has no such file), and whether it
    has videos that are tracked."""

    sha256: str
    is_hidden: bool = False
    dicom_decoders: Sequence[str] = ()
    has_tracks: bool = False


def run_fingerprint(
    config: RunConfig, identity: LabellerIdentity | PreliminaryIdentity, corpus: ListedCorpus
) -> dict[str, Any]:
    """Names to values, JSON-able. Raises ConfigError where a side file cannot be read."""
    left_out = {*NOT_IN_FINGERPRINT, *_BY_CONTENT, *_VIDEO, *(() if corpus.dicom_decoders else _DICOM)}
    settings = config.model_dump(mode="json", exclude=left_out)
    decoders = {DECODERS: list(corpus.dicom_decoders)} if corpus.dicom_decoders else {}
    return {
        **settings,
        "schema_version": SCHEMA_VERSION,
        **decoders,
        **_video_entries(config, corpus),
        "listing_sha256": corpus.sha256,
        "corpus_name": corpus_name(config, corpus.is_hidden),
        "model_sha256": identity.model_sha256,
        "proposer": identity.proposer_name,
        "proposer_sha256": identity.proposer_sha256,
        "prompts_version": identity.prompts_version,
        "dtype": identity.dtype,
        "masks_sha256": named_sha256(config.masks),
        "second_opinion_sha256": named_sha256(config.second_opinion),
        "phrases_sha256": content_sha256(config.phrases),
        "calibration_sha256": content_sha256(config.calibration),
        "parent_manifest_sha256": content_sha256(f"{config.parent}/manifest.json" if config.parent else None),
    }


def _video_entries(config: RunConfig, corpus: ListedCorpus) -> dict[str, Any]:
    """What rows of videos depend on. Without tracks as in versions that knew no tracker."""
    if corpus.has_tracks:
        return {TRACKER: config.tracker_name, "track_every": config.track_every}
    return {"frame_every_s": config.frame_every_s or DEFAULT_FRAME_EVERY_S}


def preliminary_fingerprint(
    config: RunConfig, identity: PreliminaryIdentity, corpus: ListedCorpus
) -> dict[str, Any]:
    """The entries of `run_fingerprint` that are known before the model is loaded."""
    document = run_fingerprint(config, identity, corpus)
    return {name: value for name, value in document.items() if value is not None or name not in LATE_ENTRIES}


def named_sha256(spec: str | None) -> str | None:
    """SHA-256 (hex) of the checkpoint of masks or of the second opinion; of its name if it is not here."""
    if spec is None:
        return None
    folder = expand_home(spec)
    digest = detector_digest(folder) if folder.is_dir() else hashlib.sha256(spec.encode())
    return digest.hexdigest()


def content_sha256(address: str | None) -> str | None:
    """SHA-256 (hex) of the file at a path or URL, None for none. CorpusError where it cannot be read."""
    return None if address is None else hashlib.sha256(read_whole(normalise(address))).hexdigest()
