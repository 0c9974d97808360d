"""Detectors of text lines (PP-OCR): a map of how likely each pixel is text, whose blobs are the lines.

Their processor takes two thresholds: one makes the map black and white, the other is of the score. It gives
the four corners of each line, turned as the line is, in whole pixels as 16-bit integers.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from fo1_data.boxes import as_boxes
from fo1_data.proposals.detections import Detections
from fo1_data.proposals.detectors.forward import LoadedCheckpoint, Tensors, in_batches, tensors_of

# A longer side than this does not fit the processor's integers.
_LONGEST_PX = 2**15 - 1


class TextLineDetector:
    """A loaded detector of text lines; a box encloses its line. The processor's own score floor is 0.6."""

    default_score_floor = 0.6
    default_nms_iou = 0.7

    def __init__(self, loaded: LoadedCheckpoint, sha256: str, licence: str | None) -> None:
        self.sha256, self.licence = sha256, licence
        self._loaded = loaded
        self._label = str(next(iter(loaded.model.config.id2label.values()), "text"))

    @torch.inference_mode()
    def detect(self, images: list[Image.Image], words: Sequence[Sequence[str]]) -> list[Detections]:
        """A box for each line. The words are ignored."""
        processor = self._loaded.processor
        prepared = [tensors_of(processor(images=[image], return_tensors="pt")) for image in images]
        # The sizes before resizing are no input of the model.
        pixels: list[Tensors] = [{"pixel_values": inputs["pixel_values"]} for inputs in prepared]
        return in_batches(pixels, lambda inputs, at: self._forward(inputs, [images[i].size for i in at]))

    def _forward(self, inputs: Tensors, sizes_wh: list[tuple[int, int]]) -> list[Detections]:
        outputs = self._loaded.model(pixel_values=inputs["pixel_values"].to(self._loaded.device))
        sizes_hw = torch.tensor([(height, width) for width, height in sizes_wh])
        shrunk_hw = (
            (sizes_hw / torch.clamp(sizes_hw.amax(1, keepdim=True) / _LONGEST_PX, min=1)).ceil().long()
        )
        results = self._loaded.processor.post_process_object_detection(
            outputs, box_threshold=0.0, target_sizes=shrunk_hw
        )
        factors_xy = (sizes_hw / shrunk_hw).flip(1).numpy()
        found = []
        for result, factor_xy in zip(results, factors_xy, strict=True):
            corners = result["boxes"].cpu().numpy().astype(np.float64).reshape(-1, 4, 2) * factor_xy
            boxes = as_boxes(np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1))
            scores = result["scores"].cpu().numpy().astype(np.float32)
            found.append(Detections(boxes, scores, [self._label] * len(scores)))
        return found
