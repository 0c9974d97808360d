"""The auxiliary tower to attach: DaViT from a Florence-2 or a VLM-FO1 checkpoint."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fo1_data.errors import CheckpointError
from fo1_data.model.bases.family import pick
from fo1_data.model.checkpoint_files import read_tensors
from fo1_data.model.configuration import AuxiliaryConfig, load_config
from fo1_data.model.licences import licence_of
from fo1_data.model.weight_names import davit_to_ours
from fo1_data.storage.json_text import parse_object

_FLORENCE = "florence2"
_FLORENCE_PREFIXES = ("model.vision_tower.", "vision_tower.")
_FO1_PREFIX = "model.vision_tower_aux.image_tower."


@dataclass(frozen=True)
class AuxiliarySource:
    """DaViT's settings and weights, these by their names in `Fo1Model`.

    options: further contents of a VLM-FO1's `config.json`; overrides: of its `tiny_overrides.json`. Both keep
    what the tower was trained with.
    """

    model_type: str
    licence: str | None
    overrides: dict[str, Any]
    weights: dict[str, Tensor]
    options: dict[str, Any] = field(default_factory=dict)


def read_auxiliary(folder: Path) -> AuxiliarySource:
    """Read DaViT from a checkpoint folder. Raises CheckpointError if there is none."""
    path = folder / "config.json"
    try:
        raw = parse_object(path.read_text(encoding="utf-8"))
        model_type = raw.get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{folder}: --aux has no config.json that can be read: {error}") from error
    if model_type == _FLORENCE:
        return _from_florence(folder, raw)
    config = load_config(folder)
    overrides = {**asdict(config.auxiliary), "fpn_channels": config.region.fpn_channels}
    weights = _weights(folder, (_FO1_PREFIX,))
    options = {"fo1_long_edge_limit_px": config.long_edge_limit_px}
    return AuxiliarySource(str(model_type), config.licence, overrides, weights, options)


def _from_florence(folder: Path, raw: dict[str, Any]) -> AuxiliarySource:
    settings = dict(raw.get("vision_config") or {})
    settings.setdefault("dim_embed", settings.get("embed_dim"))
    if not settings["dim_embed"]:
        raise CheckpointError(f"{folder}: config.json has no widths of DaViT (vision_config.embed_dim)")
    config: AuxiliaryConfig = pick(AuxiliaryConfig, settings)
    return AuxiliarySource(
        _FLORENCE, licence_of(folder), asdict(config), _weights(folder, _FLORENCE_PREFIXES)
    )


def _weights(folder: Path, prefixes: tuple[str, ...]) -> dict[str, Tensor]:
    found = {}
    for name, tensor in read_tensors(folder, torch.device("cpu")):
        prefix = next((prefix for prefix in prefixes if name.startswith(prefix)), None)
        if prefix is not None:
            ours = davit_to_ours(name.removeprefix(prefix))
            if ours.startswith(("convs.", "blocks.")):
                found[f"vision_tower_aux.{ours}"] = tensor
    if not found:
        raise CheckpointError(f"{folder}: no weights of DaViT ({' or '.join(prefixes)}...)")
    return found
