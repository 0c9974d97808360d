"""SAM 3 as a detector: boxes and masks of what a text names.

The image is encoded once and asked about each word by itself, because the model takes one text at a time.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from PIL import Image

from fo1_data.boxes import as_boxes
from fo1_data.masks import encode_mask
from fo1_data.proposals.detections import Detections, unite
from fo1_data.proposals.detectors.forward import LoadedCheckpoint
from fo1_data.proposals.detectors.prompts import cut_to_fit, refuse_long_words
from fo1_data.proposals.identity import SAM3_VIDEO
from schemas.regions import MaskRle

MODEL_TYPES = ("sam3", SAM3_VIDEO)
# What the released model's own demonstration shows; its other queries found nothing.
_SCORE_FLOOR = 0.3
# Lower scores are never returned, whatever score floor the caller sets: each keeps its mask in memory.
_MIN_SCORE = 0.02


class Sam3Detector:
    """A loaded SAM 3; a box is named by the word that it was found for."""

    default_score_floor = _SCORE_FLOOR
    default_nms_iou = 0.7

    def __init__(self, loaded: LoadedCheckpoint, sha256: str, licence: str | None) -> None:
        self.sha256, self.licence = sha256, licence
        self._loaded = loaded
        self._most_tokens = int(loaded.model.config.text_config.max_position_embeddings)
        self._text_of = lru_cache(maxsize=1_000)(self._encode_text)

    def refuse_words(self, words: Sequence[str]) -> None:
        """Raise ConfigError for a word that the model does not take as a whole."""
        texts = {word: word for word in words}
        refuse_long_words(self._loaded.spec, texts, self._count_tokens, self._most_tokens)

    @torch.inference_mode()
    def detect(self, images: list[Image.Image], words: Sequence[Sequence[str]]) -> list[Detections]:
        """Boxes of each image with their masks, which are made for those that are kept."""
        return [self._detect(image, of_image) for image, of_image in zip(images, words, strict=True)]

    def _detect(self, image: Image.Image, words: Sequence[str]) -> Detections:
        loaded = self._loaded
        inputs = loaded.processor(images=[image], return_tensors="pt")
        seen = loaded.model.get_vision_features(inputs["pixel_values"].to(loaded.device))
        return unite([self._look_for(word, seen, image) for word in words])

    def _look_for(self, word: str, seen: Any, image: Image.Image) -> Detections:
        text, attended = self._text_of(word)
        outputs = self._loaded.model(vision_embeds=seen, text_embeds=text, attention_mask=attended)
        (result,) = self._loaded.processor.post_process_object_detection(
            outputs, threshold=-1.0, target_sizes=[(image.height, image.width)]
        )
        scores = result["scores"].float().cpu().numpy().astype(np.float32)
        places = np.flatnonzero(scores >= _MIN_SCORE)
        boxes = as_boxes(result["boxes"].float().cpu().numpy())[places]
        maps = outputs.pred_masks[0][torch.from_numpy(places).to(self._loaded.device)].float().cpu()
        masks: list[Callable[[], MaskRle | None]] = [
            partial(full_mask, probabilities, image.size) for probabilities in maps.sigmoid()
        ]
        return Detections(boxes, scores[places], [word] * len(places), masks)

    def _encode_text(self, word: str) -> tuple[Any, torch.Tensor]:
        """The model's features of a word, and which of them are of its tokens."""
        fitting = cut_to_fit(word, self._count_tokens, self._most_tokens)
        inputs = self._loaded.processor(text=fitting, return_tensors="pt").to(self._loaded.device)
        return self._loaded.model.get_text_features(**inputs, return_dict=True), inputs["attention_mask"]

    def _count_tokens(self, words: Sequence[str]) -> int:
        ids = self._loaded.processor.tokenizer(list(words), padding=False, truncation=False)["input_ids"]
        return max(len(each) for each in ids)


def full_mask(probabilities: torch.Tensor, image_wh: tuple[int, int]) -> MaskRle | None:
    """A map of probabilities (h, w) as a mask of the whole image: where it is more than one half.

    None if it is so nowhere.
    """
    from torch.nn.functional import interpolate

    width, height = image_wh
    scaled = interpolate(probabilities[None, None], (height, width), mode="bilinear", align_corners=False)
    mask = (scaled[0, 0] > 0.5).numpy()
    return encode_mask(mask) if mask.any() else None
