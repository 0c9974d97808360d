"""Masks: run lengths, SAM 3 asked with words, SAM 2 and SAM 3 asked with boxes; and through a whole run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from detector_zoo import write_florence, write_owl
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from segmenters import write_sam2, write_sam3, write_sam3_video

from fo1_data.boxes import as_boxes
from fo1_data.dataset.exports.export import export_dataset
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.validate import validate_dataset
from fo1_data.errors import CheckpointError, ConfigError
from fo1_data.masks import decode_mask, encode_mask, mask_area, outline_path, place_mask
from fo1_data.proposals.box_masks import load_box_masks
from fo1_data.proposals.load import load_proposer
from fo1_data.proposals.sought_words import SoughtWords
from fo1_data.reports.page import write_report
from fo1_data.runs.in_process import run_in_process
from fo1_data.synthetic.gold import write_scenes
from schemas.corpus import CorpusImage, CorpusPhrase
from schemas.jobs import RunConfig
from schemas.regions import MaskRle

Pixels = npt.NDArray[np.bool_]
SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(3)
    shapes = [(48, 64), (64, 48)]
    return [Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8)) for shape in shapes]


# --- run lengths


@settings(deadline=None)  # the first call imports what encodes
@given(arrays(bool, SHAPES))
def test_a_mask_is_decoded_as_it_was_encoded(mask: Pixels) -> None:
    encoded = encode_mask(mask)
    assert encoded.size == list(mask.shape)
    assert mask_area(encoded) == mask.sum()
    assert np.array_equal(decode_mask(encoded), mask)


@settings(deadline=None)
@given(arrays(bool, SHAPES), st.integers(0, 3), st.integers(0, 3), st.integers(1, 3))
def test_a_part_is_placed_in_the_whole(mask: Pixels, x: int, y: int, shrunk: int) -> None:
    height, width = mask.shape[0] * shrunk, mask.shape[1] * shrunk
    whole = np.zeros((y + height + 2, x + width + 1), bool)
    whole[y : y + height, x : x + width] = mask.repeat(shrunk, 0).repeat(shrunk, 1)
    placed = place_mask(encode_mask(mask), (x, y, x + width, y + height), whole.shape[::-1])
    assert placed == encode_mask(whole)


def test_an_outline_runs_between_a_mask_and_what_is_around_it() -> None:
    mask = np.zeros((4, 5), bool)
    mask[1:3, 1:4] = True
    assert outline_path(mask, 2) == "M2 2H8M2 6H8M2 2V6M8 2V6"
    assert outline_path(np.zeros((3, 3), bool)) == ""


@pytest.mark.parametrize("counts", ["", "!!", "P1000"])
def test_run_lengths_of_another_size_are_an_error(counts: str) -> None:
    with pytest.raises(ValueError, match=r"a mask of \[48, 64\] cannot be read"):
        decode_mask(MaskRle(size=[48, 64], counts=counts))


# --- SAM 3 and Florence-2 as detectors


@pytest.fixture(scope="module")
def sam3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sam3(tmp_path_factory.mktemp("sam3") / "model")


@pytest.fixture(scope="module")
def sam3_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sam3_video(tmp_path_factory.mktemp("sam3") / "video")


@pytest.mark.parametrize("form", ["sam3", "sam3_video"])
def test_sam_3_finds_boxes_and_masks_of_words(form: str, request: pytest.FixtureRequest) -> None:
    words = SoughtWords(("cat",), own_phrases=True)
    proposer = load_proposer(str(request.getfixturevalue(form)), words=words, score_floor=0.0, nms_iou=1.0)
    images = pictures()
    entries = [
        CorpusImage(uri="/a.png", phrases=[CorpusPhrase(text="a dog " * 20)]), CorpusImage(uri="/b.png"),
    ]  # fmt: skip
    first, second = proposer.propose(images, entries)
    assert set(first.labels or ()) == {"cat", ("a dog " * 20).strip()}
    assert set(second.labels or ()) == {"cat"}
    assert len(second.boxes_xyxy) == 12
    assert proposer.licence == "sam-licence"
    for image, proposals in zip(images, (first, second), strict=True):
        assert proposals.masks is not None
        assert {tuple(mask.size) for mask in proposals.masks if mask} == {(image.height, image.width)}
    (alone,) = proposer.propose(images[1:], entries[1:])
    assert np.allclose(alone.boxes_xyxy, second.boxes_xyxy, atol=1e-3)
    assert alone.masks == second.masks


def test_masks_are_those_of_the_processor(sam3: Path) -> None:
    import torch
    from transformers import Sam3Model, Sam3Processor

    image = pictures()[0]
    model, processor = Sam3Model.from_pretrained(sam3).eval(), Sam3Processor.from_pretrained(sam3)
    with torch.inference_mode():
        outputs = model(**{
            key: value
            for key, value in processor(images=[image], text=["cat"], return_tensors="pt").items()
            if key != "original_sizes"
        })  # fmt: skip
    (plain,) = processor.post_process_instance_segmentation(outputs, threshold=0.0, target_sizes=[(48, 64)])
    best = int(plain["scores"].argmax())
    proposer = load_proposer(str(sam3), words=SoughtWords(("cat",)), score_floor=0.0, max_proposals=1)
    (proposals,) = proposer.propose([image], [CorpusImage(uri="/a.png")])
    assert proposals.masks is not None
    assert proposals.masks[0] is not None
    assert np.allclose(proposals.boxes_xyxy[0], plain["boxes"][best].numpy(), atol=0.01)
    assert (decode_mask(proposals.masks[0]) != plain["masks"][best].numpy()).mean() < 0.001


def test_a_word_that_is_too_long_for_sam_3_is_refused(sam3: Path) -> None:
    with pytest.raises(ConfigError, match=r"takes 32: shorten it in --vocabulary"):
        load_proposer(str(sam3), words=SoughtWords(("a dog " * 20,)))


def test_florence_2_writes_boxes(tmp_path: Path) -> None:
    words = SoughtWords(own_phrases=True)
    proposer = load_proposer(str(write_florence(tmp_path / "florence")), words=words, nms_iou=1.0)
    entries = [CorpusImage(uri="/a.png", phrases=[CorpusPhrase(text="a cat")]), CorpusImage(uri="/b.png")]
    together = proposer.propose(pictures(), entries)
    for image, entry, proposals in zip(pictures(), entries, together, strict=True):
        (alone,) = proposer.propose([image], [entry])
        assert len(proposals.boxes_xyxy) > 0
        assert np.array_equal(alone.boxes_xyxy, proposals.boxes_xyxy)
        # The middle of a thousandth of the image, not a whole pixel.
        thousandths = proposals.boxes_xyxy / np.array([*image.size, *image.size]) * 1000 - 0.5
        assert np.allclose(thousandths, thousandths.round(), atol=0.01)
        assert proposals.objectness is not None
        assert ((proposals.objectness > 0) & (proposals.objectness <= 1)).all()


# --- masks of boxes


@pytest.mark.parametrize("form", ["sam2", "sam3_video"])
def test_boxes_get_masks(form: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folder = write_sam2(tmp_path / "sam2") if form == "sam2" else request.getfixturevalue(form)
    masks = load_box_masks(str(folder))
    image = pictures()[0]
    boxes = as_boxes([(i, i, i + 20, i + 20) for i in range(40)])
    found = masks.of_boxes(image, boxes)
    assert len(found) == 40
    assert masks.of_boxes(image, boxes[35:36]) == found[35:36]
    assert {tuple(mask.size) for mask in found if mask} <= {(48, 64)}
    assert masks.of_boxes(image, boxes[:0]) == []


def test_a_model_without_masks_of_boxes_is_refused(tmp_path: Path, sam3: Path) -> None:
    with pytest.raises(CheckpointError, match="is a owlvit model, which gives no masks of boxes"):
        load_box_masks(str(write_owl("OwlViT")(tmp_path / "owl")))
    with pytest.raises(CheckpointError, match="is a sam3 model, which gives no masks of boxes"):
        load_box_masks(str(sam3))
    with pytest.raises(CheckpointError, match="--masks no such!: it is neither a checkpoint's folder"):
        load_box_masks("no such!")


# --- a whole run


@pytest.mark.parametrize("tiles", [{}, {"tile_px": 160, "tile_overlap": 0.3}])
def test_masks_go_through_a_run(tmp_path: Path, sam3_video: Path, tiles: dict[str, Any]) -> None:
    corpus = tmp_path / "corpus"
    write_scenes(corpus, count=2, seed=5, num_objects=(2, 2))
    config = RunConfig(
        corpus=str(corpus), out=str(tmp_path / "d"), labels=["brief_caption"], proposals="auto",
        masks=str(sam3_video), second_questions=[], **tiles,
    )  # fmt: skip
    run_in_process(config)
    rows = list(open_dataset(config.out).rows())
    masks = [region.mask_rle for row in rows for region in row.regions]
    assert any(masks)
    assert {row.provenance.licence for row in rows} == {"Apache-2.0; masks: sam-licence"}
    assert validate_dataset(config.out) == []
    export_dataset(config.out, "coco", str(tmp_path / "coco"))
    annotations = [
        annotation
        for file in (tmp_path / "coco").glob("*.json")
        for annotation in json.loads(file.read_text())["annotations"]
    ]
    of_masks = [annotation for annotation in annotations if "segmentation" in annotation]
    assert len(of_masks) == sum(mask is not None for mask in masks)
    for annotation in of_masks:
        mask = MaskRle.model_validate(annotation["segmentation"])
        assert annotation["area"] == decode_mask(mask).sum()
    write_report(config.out, str(tmp_path / "report.html"))
    assert (tmp_path / "report.html").read_text().count('class="outline"') == len(of_masks)
