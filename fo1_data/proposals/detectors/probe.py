"""Tries a detector on one image, so that what would fail on every image is told before any is labelled."""

import numpy as np
from PIL import Image

from fo1_data.errors import CheckpointError, Fo1Error
from fo1_data.proposals.detections import Detector
from fo1_data.proposals.sought_words import SoughtWords

# Not square, so that padding to a square would show.
_PROBE_WH = (320, 240)


def probe(spec: str, detector: Detector, words: SoughtWords) -> None:
    """Raise CheckpointError or ConfigError, with a message of one line, if the detector cannot detect.

    It is given one small image; what it finds there does not matter.
    """
    refuse_words = getattr(detector, "refuse_words", None)
    if refuse_words is not None:
        refuse_words(words.of_a_probe())
    try:
        (found,) = detector.detect([probe_picture()], [words.of_a_probe()])
    except Fo1Error:
        raise
    except Exception as error:
        raise CheckpointError(f"{spec} cannot detect in any image: {reason_of(error)}") from error
    num_boxes, num_scores = len(found.boxes_xyxy), len(found.scores)
    if num_boxes != num_scores or (found.labels is not None and len(found.labels) != num_boxes):
        raise CheckpointError(f"{spec} gives {num_boxes} boxes and {num_scores} scores: it cannot be used")


def reason_of(error: Exception) -> str:
    """Why a detector does not work, and what to do, in one line."""
    text = " ".join(str(error).split())[:300] or type(error).__name__
    if isinstance(error, ImportError):
        return f"{text.partition('. ')[0]}: install fo1-data[detectors]"
    if isinstance(error, ValueError) and text.lower().startswith("size must"):
        return f"its image processor has no usable size: correct `size` in preprocessor_config.json ({text})"
    return text


def probe_picture() -> Image.Image:
    """A small picture of gradients."""
    width, height = _PROBE_WH
    rows, columns = np.mgrid[:height, :width]
    channels = (rows * 255 // height, columns * 255 // width, (rows + columns) % 256)
    return Image.fromarray(np.stack(channels, axis=2).astype(np.uint8))
