"""What a person is told after a tenth of a training of the detector."""

from typing import cast

import numpy as np
import pytest
from PIL import Image

from fo1_data.boxes import as_boxes
from fo1_data.proposals.detections import Detections
from fo1_data.proposals.tiny_detector import TinyDetector
from fo1_data.training.detection.early_verdict import early_verdict
from fo1_data.training.detection.measuring import Found, count_found
from fo1_data.training.detection.samples import BoxedImage, BoxedImages

FIRST = Found(known=100, detected=50, hits=4, surest_hits=6)


@pytest.mark.parametrize(
    ("now", "passes", "words"),
    [
        (
            Found(100, 0, 0, surest_hits=20),
            40,
            "it learns: of its 100 surest boxes 0.20 are right (0.06 before)",
        ),
        (Found(100, 60, 30, surest_hits=6), 40, "it learns"),
        (Found(100, 0, 0, surest_hits=7, tiny=60), 4, "0.60 of the boxes are too small as the detector sees"),
        (Found(100, 0, 0, surest_hits=7), 4.4, "shows each view 4.4 times only, 20 or more are usual"),
        (Found(100, 0, 0, surest_hits=7), 40, "more images would help most"),
    ],
)
def test_it_says_whether_the_detector_learns_and_why_not(now: Found, passes: float, words: str) -> None:
    assert words in early_verdict(FIRST, now, passes)


class Unsure:
    """Finds the box at the left, less surely the one at the right, and something between them."""

    default_score_floor, default_nms_iou, long_edge_max_px = 0.2, 0.6, 512

    def detect(self, images: list[Image.Image]) -> list[Detections]:
        boxes = as_boxes([(0, 0, 40, 40), (100, 0, 140, 40), (60, 50, 80, 90)])
        return [Detections(boxes, np.array([0.1, 0.06, 0.05], np.float32)) for _ in images]


class Pictures:
    """Two boxes in a picture of 600 x 100 px; one of them is seven pixels high as the detector sees it."""

    def as_it_is(self, number: int) -> BoxedImage:
        return BoxedImage(Image.new("RGB", (600, 100)), as_boxes([(0, 0, 40, 40), (100, 30, 140, 38)]))


def test_the_surest_detections_count_whatever_their_scores() -> None:
    found = count_found(cast(TinyDetector, Unsure()), cast(BoxedImages, Pictures()), [0, 1])
    assert isinstance(found, Found)
    assert (found.known, found.detected, found.hits, found.images) == (4, 0, 0, 2)
    assert (found.surest_hits, found.tiny) == (2, 2)
