"""Detectors of transformers: small, with random weights, saved and loaded as released ones are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from random_detectors import WORDS, write_grounding_dino, write_rt_detr

from fo1_data.errors import CheckpointError
from fo1_data.proposals.load import load_proposer
from fo1_data.proposals.sought_words import SoughtWords
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
    proposed = proposer.propose(images, entries(images))
    # The detector has 120 queries and gives a row for each of some of their classes.
    for proposals in proposed:
        assert 50 < len(proposals.boxes_xyxy) <= 100
        assert len(np.unique(proposals.boxes_xyxy, axis=0)) == len(proposals.boxes_xyxy)
    for image, proposals in zip(images, proposed, strict=True):
        assert proposals.boxes_xyxy.dtype == np.float32
        assert (proposals.boxes_xyxy[:, :2] >= 0).all()
        assert (proposals.boxes_xyxy[:, 2:] <= image.size).all()
        assert (np.diff(proposals.objectness) <= 0).all()
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
    (proposals,) = proposer.propose([image], entries([image]))
    best = plain["scores"].sort(descending=True, stable=True).indices
    clipped = plain["boxes"][best].clamp(min=0).minimum(torch.tensor([64.0, 48.0, 64.0, 48.0])).numpy()
    first = np.sort(np.unique(clipped, axis=0, return_index=True)[1])[:5]  # one row for each box
    assert np.allclose(proposals.objectness, plain["scores"][best].numpy()[first], atol=1e-5)
    assert np.allclose(proposals.boxes_xyxy, clipped[first], atol=1e-3)
    assert proposals.labels == [f"LABEL_{plain['labels'][best][place]}" for place in first]


@pytest.mark.parametrize("detector", ["rt_detr", "grounding_dino"])
def test_boxes_do_not_depend_on_the_batch(detector: str, request: pytest.FixtureRequest) -> None:
    proposer = load_proposer(
        str(request.getfixturevalue(detector)),
        score_floor=0.0,
        nms_iou=0.9,
        words=SoughtWords(tuple(WORDS[:2])),
    )
    images = pictures()
    together = proposer.propose(images, entries(images))
    for image, batched in zip(images, together, strict=True):
        (alone,) = proposer.propose([image], entries([image]))
        assert alone.boxes_xyxy.shape == batched.boxes_xyxy.shape
        assert np.allclose(alone.boxes_xyxy, batched.boxes_xyxy, atol=1e-3)


def test_zero_shot_looks_for_the_vocabulary(grounding_dino: Path) -> None:
    images = pictures()[:2]
    by_vocabulary = {}
    digests = set()
    for words in ([], ["cat", "traffic light"], ["dog"]):
        proposer = load_proposer(
            str(grounding_dino), score_floor=0.0, nms_iou=1.0, words=SoughtWords(tuple(words))
        )
        assert proposer.licence == "cc-by-nc-4.0"
        proposed = by_vocabulary[tuple(words)] = proposer.propose(images, entries(images))
        digests.add(proposer.sha256)
        assert all(len(proposals.boxes_xyxy) > 0 for proposals in proposed)
    cats, dogs = by_vocabulary["cat", "traffic light"][0], by_vocabulary["dog",][0]
    assert not np.array_equal(cats.objectness, dogs.objectness)
    assert len(digests) == 3


def test_a_score_floor_and_nms_keep_fewer_boxes(rt_detr: Path) -> None:
    images = pictures()[:1]
    all_boxes = load_proposer(str(rt_detr), score_floor=0.0, nms_iou=1.0).propose(images, entries(images))[0]
    floor = float(np.median(all_boxes.objectness))
    floored = load_proposer(str(rt_detr), score_floor=floor, nms_iou=1.0).propose(images, entries(images))[0]
    apart = load_proposer(str(rt_detr), score_floor=0.0, nms_iou=1e-6).propose(images, entries(images))[0]
    assert (floored.objectness >= np.float32(floor)).all()
    assert len(floored.boxes_xyxy) < len(all_boxes.boxes_xyxy)
    assert len(apart.boxes_xyxy) < len(all_boxes.boxes_xyxy)


def test_a_checkpoint_with_missing_weights_is_refused(rt_detr: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for file in rt_detr.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(rt_detr / "model.safetensors")
    del weights[next(name for name in weights if "encoder" in name)]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lacks 1 weights"):
        load_proposer(str(tmp_path))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no config.json"),
        ({"config.json": "{"}, "does not load as a detector"),
        ({"config.json": '{"model_type": "bert"}'}, "not an object detector"),
    ],
)
def test_a_folder_that_is_not_a_detector_is_refused(
    files: dict[str, str], message: str, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_proposer(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(CheckpointError, match="neither auto, corpus"):
        load_proposer("no such thing!")
