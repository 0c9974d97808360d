"""Detectors of transformers, small and randomly initialised, saved and loaded as real ones are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from random_detectors import WORDS, write_grounding_dino, write_rt_detr

from fo1_data.errors import CheckpointError
from fo1_data.proposals.load import load_proposer
from schemas.corpus import CorpusImage


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(3)
    shapes = [(48, 64), (64, 48), (48, 64), (30, 90)]
    return [Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8)) for shape in shapes]


def entries(images: list[Image.Image]) -> list[CorpusImage]:
    return [CorpusImage(uri=f"/{index}.jpg") for index in range(len(images))]


@pytest.fixture(scope="module")
def rt_detr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rt_detr(tmp_path_factory.mktemp("rt_detr"))


@pytest.fixture(scope="module")
def grounding_dino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_grounding_dino(tmp_path_factory.mktemp("grounding_dino"))


def test_closed_set_boxes_are_limited_and_inside(rt_detr: Path) -> None:
    images = pictures()
    proposer = load_proposer(str(rt_detr), score_floor=0.0, nms_iou=1.0, max_proposals=100)
    found = proposer.propose(images, entries(images))
    assert [len(one.boxes_xyxy) for one in found] == [100] * 4
    for image, one in zip(images, found, strict=True):
        assert one.boxes_xyxy.dtype == np.float32
        assert (one.boxes_xyxy[:, :2] >= 0).all()
        assert (one.boxes_xyxy[:, 2:] <= image.size).all()
        assert (np.diff(one.objectness) <= 0).all()
    assert (proposer.licence, proposer.detects) == ("apache-2.0", True)


def test_boxes_are_those_of_the_plain_pipeline(rt_detr: Path) -> None:
    from transformers import AutoImageProcessor, AutoModelForObjectDetection

    image = pictures()[0]
    processor = AutoImageProcessor.from_pretrained(rt_detr)
    model = AutoModelForObjectDetection.from_pretrained(rt_detr).eval()
    with torch.inference_mode():
        outputs = model(**processor(images=image, return_tensors="pt"))
    (plain,) = processor.post_process_object_detection(outputs, threshold=0.0, target_sizes=[(48, 64)])
    proposer = load_proposer(str(rt_detr), score_floor=0.0, nms_iou=1.0, max_proposals=5)
    (found,) = proposer.propose([image], entries([image]))
    best = plain["scores"].sort(descending=True, stable=True).indices
    clipped = plain["boxes"][best].clamp(min=0).minimum(torch.tensor([64.0, 48.0, 64.0, 48.0])).numpy()
    assert np.allclose(found.objectness, plain["scores"][best][:5].numpy(), atol=1e-5)
    assert np.allclose(found.boxes_xyxy, clipped[:5], atol=1e-3)


@pytest.mark.parametrize("detector", ["rt_detr", "grounding_dino"])
def test_boxes_do_not_depend_on_the_batch(detector: str, request: pytest.FixtureRequest) -> None:
    proposer = load_proposer(
        str(request.getfixturevalue(detector)), score_floor=0.0, nms_iou=0.9, vocabulary=WORDS[:2]
    )
    images = pictures()
    together = proposer.propose(images, entries(images))
    for image, one in zip(images, together, strict=True):
        (alone,) = proposer.propose([image], entries([image]))
        assert alone.boxes_xyxy.shape == one.boxes_xyxy.shape
        assert np.allclose(alone.boxes_xyxy, one.boxes_xyxy, atol=1e-3)


def test_zero_shot_looks_for_the_vocabulary(grounding_dino: Path) -> None:
    images = pictures()[:2]
    found = {}
    shas = set()
    for words in ([], ["cat", "traffic light"], ["dog"]):
        proposer = load_proposer(str(grounding_dino), score_floor=0.0, nms_iou=1.0, vocabulary=words)
        assert proposer.licence == "cc-by-nc-4.0"
        found[tuple(words)] = proposer.propose(images, entries(images))
        shas.add(proposer.sha256)
        assert all(len(one.boxes_xyxy) > 0 for one in found[tuple(words)])
    cats, dogs = found[("cat", "traffic light")][0], found[("dog",)][0]
    assert not np.array_equal(cats.objectness, dogs.objectness)
    assert len(shas) == 3


def test_a_floor_and_nms_leave_fewer(rt_detr: Path) -> None:
    images = pictures()[:1]
    all_boxes = load_proposer(str(rt_detr), score_floor=0.0, nms_iou=1.0).propose(images, entries(images))[0]
    floor = float(np.median(all_boxes.objectness))
    floored = load_proposer(str(rt_detr), score_floor=floor, nms_iou=1.0).propose(images, entries(images))[0]
    apart = load_proposer(str(rt_detr), score_floor=0.0, nms_iou=0.2).propose(images, entries(images))[0]
    assert (floored.objectness >= np.float32(floor)).all()
    assert len(floored.boxes_xyxy) < len(all_boxes.boxes_xyxy)
    assert len(apart.boxes_xyxy) < len(all_boxes.boxes_xyxy)


def test_a_checkpoint_with_missing_weights_is_refused(rt_detr: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for file in rt_detr.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(rt_detr / "model.safetensors")
    gone = next(name for name in weights if "encoder" in name)
    save_file(
        {k: v for k, v in weights.items() if k != gone}, tmp_path / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(CheckpointError, match=r"lacks 1 weights"):
        load_proposer(str(tmp_path))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no config.json"),
        ({"config.json": "{"}, "does not load as a detector"),
        ({"config.json": '{"model_type": "bert"}'}, "no object detector"),
    ],
)
def test_what_is_no_detector_is_told(files: dict[str, str], message: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_proposer(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(CheckpointError, match="neither auto, corpus"):
        load_proposer("no such thing!")
