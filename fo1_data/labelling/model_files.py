"""What can be checked of a run's model, boxes and device before they are loaded. Does not import torch."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from fo1_data.dataset.weights_record import LoadedSource
from fo1_data.errors import CheckpointError, ConfigError
from fo1_data.labelling.identity import PreliminaryIdentity
from fo1_data.model.checkpoint_folder import BUNDLED, checkpoint_sha256, find_checkpoint, list_weight_files
from fo1_data.model.configuration import load_config
from fo1_data.model.node_cache import check_readable, source_version
from fo1_data.model.prompts_version import PROMPTS_VERSION
from fo1_data.opinions.load import check_second_model
from fo1_data.proposals.identity import (
    detector_digest,
    detector_folder,
    find_detector,
    identify_proposer,
    is_detector,
)
from schemas.jobs import RunConfig

_DEVICE = re.compile(r"(cpu|cuda|mps|xpu)(:\d+)?")
# One of these exists if a driver for NVIDIA's or AMD's cards is loaded (the second: under Windows).
_GPU_FILES = ("nvidiactl", "dxg", "kfd")
_BUNDLED_BOXES = ("auto", "corpus", "fo1-tiny")


class ModelFiles:
    """Looks at the files that a run will load. loads_here: whether this machine loads them; the nodes of a
    cluster may see other files, so that only the bundled ones are known beforehand."""

    def __init__(self, config: RunConfig, *, loads_here: bool) -> None:
        self._config, self._loads_here = config, loads_here

    def check(self) -> None:
        """Raise CheckpointError, ConfigError or CorpusError for what can be seen not to load."""
        if not self._loads_here:
            return
        check_device(self._config.device)
        try:
            check_readable(self._config.model)
        except CheckpointError as error:
            raise CheckpointError(f"--model: {error}") from error
        folder = self._folder()
        if folder is not None:
            load_config(folder)
            list_weight_files(folder)
        identify_proposer(self._config.proposals)
        if self._config.masks is not None:
            detector_folder(self._config.masks, "--masks")
        if self._config.second_opinion is not None:
            check_second_model(self._config.second_opinion, self._config.second_opinion_view)

    def versions(self) -> dict[str, str]:
        """The versions of what only loading identifies, by setting: a model at a URL, a detector."""
        versions, proposals = {}, self._config.proposals
        if self._is_remote():
            with suppress(CheckpointError):  # the nodes of a cluster may reach it all the same
                versions["model"] = source_version(self._config.model)
        if self._loads_here and is_detector(proposals):
            versions["proposals"] = detector_digest(find_detector(proposals)).hexdigest()
        return versions

    def identity(self, recorded: Mapping[str, LoadedSource]) -> PreliminaryIdentity:
        """The identity of the labellers as far as it is known. Reads and hashes the weights.

        recorded: what the run has loaded before; it counts for versions that are still the same.
        """
        known = self._identity()
        versions = self.versions() if recorded else {}
        same = {key: loaded for key, loaded in recorded.items() if versions.get(key) == loaded.version}
        if known.model_sha256 is None and "model" in same:
            known = replace(known, model_sha256=same["model"].sha256)
        if known.proposer_sha256 is None and "proposals" in same:
            boxes = same["proposals"]
            known = replace(known, proposer_name=boxes.name, proposer_sha256=boxes.sha256)
        return known

    def _identity(self) -> PreliminaryIdentity:
        config = self._config
        folder = self._folder() if self._loads_here or config.model == BUNDLED else None
        knows_boxes = self._loads_here or config.proposals in _BUNDLED_BOXES
        boxes = identify_proposer(config.proposals) if knows_boxes else None
        return PreliminaryIdentity(
            model_sha256=checkpoint_sha256(folder) if folder is not None else None,
            proposer_name=boxes.name if boxes is not None else None,
            proposer_sha256=boxes.sha256 if boxes is not None else None,
            prompts_version=PROMPTS_VERSION,
            dtype=config.dtype,
        )

    def _folder(self) -> Path | None:
        """The model's folder; None for a URL. A hub id is fetched if it is not cached."""
        return None if self._is_remote() else find_checkpoint(self._config.model.removeprefix("file://"))

    def _is_remote(self) -> bool:
        return "://" in self._config.model.removeprefix("file://")


def check_device(device: str | None) -> None:
    """Raise ConfigError for a device that PyTorch does not know, and for a GPU on a machine without one."""
    if device is None:
        return
    if not _DEVICE.fullmatch(device):
        raise ConfigError(f"device {device!r} is not known (cpu, cuda, cuda:0)")
    if device.startswith("cuda") and not any(Path("/dev", name).exists() for name in _GPU_FILES):
        raise ConfigError(f"device {device!r}: no GPU is usable here")
