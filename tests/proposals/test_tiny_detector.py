"""The bundled detector on unseen scenes and on images of unusual sizes."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.ops import box_iou

from fo1_data.errors import CheckpointError
from fo1_data.proposals.tiny_detector import load_tiny_detector
from fo1_data.synthetic.scenes import make_scene

UNSEEN = 910_000_000


@pytest.fixture(scope="module")
def detector():
    return load_tiny_detector("cpu")


def test_it_finds_nearly_all_objects_and_few_other_boxes(detector):
    num_hit = num_proposed = num_gold = 0
    for seed in range(UNSEEN, UNSEEN + 30):
        scene = make_scene(seed)
        (found,) = detector.detect([scene.image])
        kept = found.boxes_xyxy[found.scores > detector.default_score_floor]
        gold = torch.tensor([thing.box_xyxy for thing in scene.objects], dtype=torch.float32)
        num_hit += int((box_iou(gold, torch.from_numpy(kept)).amax(1) >= 0.5).sum())
        num_proposed += len(kept)
        num_gold += len(gold)
    assert num_hit / num_gold >= 0.97
    assert num_proposed / num_gold <= 1.5


@pytest.mark.parametrize("size", [(1, 1), (3, 400), (2000, 1500), (37, 41)])
def test_boxes_are_float32_and_inside_any_image(detector, size):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    (found,) = detector.detect([Image.fromarray(noise)])
    boxes, scores = found.boxes_xyxy, found.scores
    assert boxes.shape == (len(scores), 4)
    assert boxes.dtype == scores.dtype == np.float32
    assert (boxes >= 0).all()
    assert (boxes <= np.array([*size, *size])).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert (np.diff(scores) <= 0).all()


def test_boxes_of_an_image_do_not_depend_on_the_batch(detector):
    images = [make_scene(UNSEEN + i).image for i in range(3)]
    together = detector.detect(images)
    for image, found in zip(images, together, strict=True):
        assert np.array_equal(detector.detect([image])[0].boxes_xyxy, found.boxes_xyxy)


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="does not load"):
        load_tiny_detector("cpu", tmp_path / "none.safetensors")
