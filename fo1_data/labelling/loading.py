"""Loads the model and the proposer of a labeller."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fo1_data.labelling.identity import LabellerIdentity
from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.model.checkpoint_folder import checkpoint_sha256, model_domain
from fo1_data.model.device import choose_device, choose_dtype
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.prompts_version import PROMPTS_VERSION
from fo1_data.proposals.box_masks import BoxMasks, load_box_masks
from fo1_data.proposals.identity import is_detector
from fo1_data.proposals.load import load_proposer, load_video_boxes
from fo1_data.proposals.proposer import Proposer
from fo1_data.proposals.sought_words import SoughtWords
from fo1_data.proposals.video_boxes import VideoBoxes


@dataclass(frozen=True)
class LoadedModels:
    """An engine, a proposer and what gives masks (None: nothing) on one device, and their identity.

    `video_boxes`: the proposer again, if it follows things through videos by itself.
    """

    engine: Fo1Engine
    proposer: Proposer
    identity: LabellerIdentity
    masks: BoxMasks | None = None
    video_boxes: VideoBoxes | None = None


def load_models(
    model: str,
    proposals: str,
    *,
    device: str | None = None,
    dtype: str | None = None,
    engine_bytes: int | None = None,
    score_floor: float | None = None,
    nms_iou: float | None = None,
    max_proposals: int = 100,
    words: SoughtWords | None = None,
    masks: str | None = None,
    follows_videos: bool = False,
) -> LoadedModels:
    """Load the checkpoint `model` and the proposer that `proposals` names (see `load_proposer`).

    device, dtype: None chooses what fits the machine. engine_bytes: bound on the engine's memory. words: what
    a zero-shot detector looks for. masks: the checkpoint that gives masks of boxes. follows_videos: the
    proposer is one that follows things through videos by itself.
    Raises CheckpointError, ConfigError or CorpusError.
    """
    torch_device = choose_device(device)
    dtype_name, torch_dtype = choose_dtype(dtype, torch_device)
    # First, because it is the faster one to load and the one that may not fit the settings.
    boxes: dict[str, Any] = {
        "device": torch_device,
        "score_floor": score_floor,
        "nms_iou": nms_iou,
        "max_proposals": max_proposals,
        "words": words,
    }
    video_boxes = load_video_boxes(proposals, **boxes) if follows_videos else None
    proposer = video_boxes or load_proposer(proposals, **boxes)
    box_masks = load_box_masks(masks, torch_device) if masks is not None else None
    checkpoint = load_checkpoint(model, device=torch_device, dtype=torch_dtype)
    identity = LabellerIdentity(
        model_name=Path(model).name if Path(model).exists() else model,
        model_sha256=checkpoint_sha256(checkpoint.folder),
        model_licence=checkpoint.config.licence,
        proposer_name=proposer.name,
        proposer_sha256=proposer.sha256,
        proposer_licence=proposer.licence if is_detector(proposals) else None,
        prompts_version=PROMPTS_VERSION,
        dtype=dtype_name,
        model_domain=model_domain(checkpoint.folder),
        masks_licence=box_masks.licence if box_masks is not None else None,
    )
    engine = Fo1Engine(checkpoint, max_bytes=engine_bytes)
    return LoadedModels(engine, proposer, identity, box_masks, video_boxes)
