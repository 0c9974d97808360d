"""`--masks`: the pixels of the thing in each box, by SAM 2, SAM 3 or another model that takes boxes.

Loads a folder or hub id as a detector is loaded, and tries it on one image.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from fo1_data.boxes import Boxes, as_boxes
from fo1_data.errors import CheckpointError
from fo1_data.model.licences import licence_of
from fo1_data.proposals.detectors.forward import LoadedCheckpoint
from fo1_data.proposals.detectors.loading import load_parts, weights_sha256
from fo1_data.proposals.detectors.probe import probe_picture, reason_of
from fo1_data.proposals.detectors.sam3 import full_mask
from fo1_data.proposals.identity import find_detector
from schemas.regions import MaskRle

# A model's maps of so many boxes are held at once.
_BATCH_BOXES = 32


class BoxMasks:
    """A loaded model that finds the thing in a box. `sha256`, `licence`: of its weights."""

    def __init__(self, loaded: LoadedCheckpoint, sha256: str, licence: str | None) -> None:
        self.sha256, self.licence = sha256, licence
        self._loaded = loaded

    @torch.inference_mode()
    def of_boxes(self, image: Image.Image, boxes_xyxy: Boxes) -> list[MaskRle | None]:
        """A mask of the upright image for each box (N, 4); None for a box in which nothing is found."""
        if not len(boxes_xyxy):
            return []
        processor, device = self._loaded.processor, self._loaded.device
        inputs = processor(images=[image], return_tensors="pt")
        seen = self._loaded.model.get_image_embeddings(inputs["pixel_values"].to(device))
        masks: list[MaskRle | None] = []
        for start in range(0, len(boxes_xyxy), _BATCH_BOXES):
            boxes = boxes_xyxy[start : start + _BATCH_BOXES].tolist()
            asked = processor(
                input_boxes=[boxes], original_sizes=[[image.height, image.width]], return_tensors="pt"
            )
            outputs = self._loaded.model(
                image_embeddings=seen, input_boxes=asked["input_boxes"].to(device), multimask_output=False
            )
            maps = outputs.pred_masks[0, :, 0].float().sigmoid().cpu()
            masks += [full_mask(probabilities, image.size) for probabilities in maps]
        return masks


def load_box_masks(spec: str, device: Any = None) -> BoxMasks:
    """The model that `--masks` names. Raises CheckpointError with a message of one line."""
    import transformers as of

    folder = find_detector(spec, "--masks")
    try:
        config = of.AutoConfig.from_pretrained(folder)
        classes: dict[str, tuple[Any, Any]] = {
            "sam2": (of.Sam2Model, of.Sam2Processor),
            "sam2_video": (of.Sam2Model, of.Sam2Processor),
            "sam3_tracker": (of.Sam3TrackerModel, of.Sam3TrackerProcessor),
            "sam3_video": (of.Sam3TrackerModel, of.Sam3TrackerProcessor),
        }
        if config.model_type not in classes:
            raise CheckpointError(
                f"--masks {spec} is a {config.model_type} model, which gives no masks of boxes: "
                "name a checkpoint of SAM 2 or SAM 3"
            )
        loaded = load_parts(spec, folder, *classes[config.model_type], torch.device(device or "cpu"))
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise CheckpointError(f"--masks {spec} does not load: {reason_of(error)}") from error
    masks = BoxMasks(loaded, weights_sha256(folder, None), licence_of(folder))
    _probe(spec, masks)
    return masks


def _probe(spec: str, masks: BoxMasks) -> None:
    picture = probe_picture()
    boxes = as_boxes(np.array([[0, 0, picture.width / 2, picture.height / 2]] * 2))
    try:
        found: Sequence[MaskRle | None] = masks.of_boxes(picture, boxes)
    except Exception as error:
        raise CheckpointError(f"--masks {spec} gives no mask of any image: {reason_of(error)}") from error
    if len(found) != 2:
        raise CheckpointError(f"--masks {spec} gives {len(found)} masks of 2 boxes: it cannot be used")
