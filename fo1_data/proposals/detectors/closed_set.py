"""A detector of a fixed set of classes. Each box keeps the class with the highest score, by its name."""

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from fo1_data.boxes import as_boxes
from fo1_data.proposals.detections import Detections, merge_twins
from fo1_data.proposals.detectors.forward import LoadedCheckpoint, Tensors, frame_hw, in_batches, tensors_of

# More rows than any detector has; some processors give only the best 100 rows of boxes x classes.
_ALL_ROWS = 2**31 - 1


class ClosedSetDetector:
    """A loaded detector of a fixed set of classes."""

    default_score_floor = 0.1
    default_nms_iou = 0.7

    def __init__(self, loaded: LoadedCheckpoint, sha256: str, licence: str | None) -> None:
        self.sha256, self.licence = sha256, licence
        self._loaded = loaded
        self._names: dict[int, str] = {
            int(key): str(name) for key, name in loaded.model.config.id2label.items()
        }
        parameters = inspect.signature(loaded.processor.post_process_object_detection).parameters
        self._rows = {"top_k": _ALL_ROWS} if "top_k" in parameters else {}

    @torch.inference_mode()
    def detect(self, images: list[Image.Image], words: Sequence[Sequence[str]]) -> list[Detections]:
        """One detection for each box. The words are ignored."""
        processor = self._loaded.processor
        prepared = [tensors_of(processor(images=[image], return_tensors="pt")) for image in images]
        frames = [frame_hw(processor, image, inputs) for image, inputs in zip(images, prepared, strict=True)]
        return in_batches(prepared, lambda inputs, at: self._forward(inputs, [frames[i] for i in at]))

    def _forward(self, inputs: Tensors, frames_hw: list[tuple[float, float]]) -> list[Detections]:
        device = self._loaded.device
        outputs = self._loaded.model(**{key: tensor.to(device) for key, tensor in inputs.items()})
        results = self._loaded.processor.post_process_object_detection(
            outputs, threshold=0.0, target_sizes=torch.tensor(frames_hw, device=device), **self._rows
        )
        return [self._read(result) for result in results]

    def _read(self, result: dict[str, Any]) -> Detections:
        boxes = as_boxes(result["boxes"].float().cpu().numpy())
        scores = result["scores"].float().cpu().numpy().astype(np.float32)
        labels = [self._names.get(int(label), str(int(label))) for label in result["labels"].tolist()]
        return merge_twins(Detections(boxes, scores, labels))
