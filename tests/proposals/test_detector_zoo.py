"""Every detector of transformers works, or is refused in one line that says what to do."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from detector_zoo import CLASSES, CLOSED, ZERO_SHOT
from PIL import Image
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES,
    MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING_NAMES,
)
from transformers.utils.import_utils import is_timm_available

from fo1_data.errors import CheckpointError, ConfigError
from fo1_data.proposals.detections import Detector
from fo1_data.proposals.detectors.forward import LoadedCheckpoint
from fo1_data.proposals.detectors.loading import load_transformers_detector
from fo1_data.proposals.detectors.text_lines import TextLineDetector
from fo1_data.proposals.load import load_proposer
from fo1_data.proposals.sought_words import SoughtWords
from schemas.corpus import CorpusCount, CorpusImage, CorpusPhrase

WORDS = ("cat", "traffic light")
Folder = Callable[[str], Path]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The folder of a saved detector, by its model type; each is made once."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            torch.manual_seed(1)
            made[name] = {**CLOSED, **ZERO_SHOT}[name](tmp_path_factory.mktemp("zoo") / name)
        return made[name]

    return folder


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(3)
    shapes = [(48, 64), (64, 48), (48, 64), (30, 90)]
    return [Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8)) for shape in shapes]


def edited(folder: Path, tmp_path: Path, file: str, **values: object) -> Path:
    """A copy of a checkpoint with other members in one of its JSON files."""
    copy = tmp_path / "edited"
    shutil.copytree(folder, copy)
    path = copy / file
    members = json.loads(path.read_text())
    members.get("image_processor", members).update(values)
    path.write_text(json.dumps(members))
    return copy


def test_the_zoo_has_every_class_of_transformers() -> None:
    assert set(CLOSED) == set(MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES)
    assert set(ZERO_SHOT) == set(MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING_NAMES)


@pytest.mark.parametrize("name", [*CLOSED, *ZERO_SHOT])
def test_every_class_detects(name: str, folder_of: Folder) -> None:
    detector = load_transformers_detector(str(folder_of(name)), words=SoughtWords(WORDS))
    images = pictures()
    together = detector.detect(images, [WORDS] * 4)
    for image, found in zip(images, together, strict=True):
        (alone,) = detector.detect([image], [WORDS])
        assert 0 < len(found.scores) == len(found.boxes_xyxy)
        assert len(np.unique(found.boxes_xyxy, axis=0)) == len(found.boxes_xyxy)
        assert np.allclose(np.sort(found.scores), np.sort(alone.scores), atol=1e-4)
        near = np.abs(np.sort(found.boxes_xyxy, axis=0) - np.sort(alone.boxes_xyxy, axis=0))
        assert near.max() < 0.01
        middles = (found.boxes_xyxy[:, :2] + found.boxes_xyxy[:, 2:]) / 2
        assert (middles >= -1).all()
        # OWLv2 sees a square, of which a part is beside the image.
        assert (middles <= np.array([max(image.size)] * 2 if name == "owlv2" else image.size) + 1).all()
        expected = WORDS if name in ZERO_SHOT else ("text",) if "ocr" in name else CLASSES
        assert found.labels is not None
        assert set(found.labels) <= {*expected, *(f"LABEL_{number}" for number in range(4))}


@pytest.mark.parametrize("name", ["conditional_detr", "dab-detr", "deformable_detr", "lw_detr"])
def test_no_box_is_lost_to_its_own_classes(name: str, folder_of: Folder) -> None:
    """100 rows of boxes x classes would be fewer boxes than there are queries."""
    proposer = load_proposer(str(folder_of(name)), score_floor=0.0, nms_iou=1.0)
    (proposals,) = proposer.propose(pictures()[:1], [CorpusImage(uri="/a.jpg")])
    config = json.loads((folder_of(name) / "config.json").read_text())
    assert len(proposals.boxes_xyxy) == config["num_queries"]
    assert proposals.labels is not None
    assert set(proposals.labels) <= set(CLASSES)


# --- words


def test_words_are_asked_in_as_many_runs_as_they_need(folder_of: Folder) -> None:
    """The text of the small Grounding DINO has 32 tokens; released ones have 256."""
    many = tuple(f"{word} {number}" for word in ("cat", "dog") for number in "abcdefghijkl")
    detector = load_transformers_detector(str(folder_of("grounding-dino")), words=SoughtWords(many))
    (found,) = detector.detect(pictures()[:1], [many])
    (few,) = detector.detect(pictures()[:1], [many[:2]])
    assert len(found.boxes_xyxy) > 2 * len(few.boxes_xyxy)
    assert found.labels is not None
    assert set(found.labels) <= set(many)
    assert len(set(found.labels)) > 2


def test_a_full_stop_in_a_word_separates_nothing(folder_of: Folder) -> None:
    words = ("cat no. 5", "dog.")
    detector = load_transformers_detector(str(folder_of("grounding-dino")), words=SoughtWords(words))
    (found,) = detector.detect(pictures()[:1], [words])
    assert set(found.labels or ()) <= set(words)


LONG = "the traffic light behind the cat that is left of the dog"


@pytest.mark.parametrize("name", ["owlvit", "owlv2", "grounding-dino"])
def test_a_word_that_is_too_long_is_refused_and_a_phrase_of_the_corpus_is_cut(
    name: str, folder_of: Folder
) -> None:
    phrase = LONG if "owl" in name else " ".join([LONG] * 3)
    with pytest.raises(ConfigError, match=r"tokens long and .* takes (16|32): shorten it") as caught:
        load_proposer(str(folder_of(name)), words=SoughtWords((phrase,)))
    assert "\n" not in str(caught.value)
    proposer = load_proposer(str(folder_of(name)), words=SoughtWords(own_phrases=True), score_floor=0.0)
    entry = CorpusImage(uri="/a.jpg", phrases=[CorpusPhrase(text=phrase)])
    (proposals,) = proposer.propose(pictures()[:1], [entry])
    assert set(proposals.labels or ()) == {phrase}


def test_each_image_is_searched_for_its_own_words(folder_of: Folder) -> None:
    words = SoughtWords(("kite",), own_phrases=True, own_counts=True)
    proposer = load_proposer(str(folder_of("owlvit")), words=words, score_floor=0.0, nms_iou=1.0)
    entries = [
        CorpusImage(uri="/a.jpg", phrases=[CorpusPhrase(text="a cat"), CorpusPhrase(text="kite")]),
        CorpusImage(uri="/b.jpg", counts=[CorpusCount(text="dog", count=2)]),
        CorpusImage(uri="/c.jpg"),
    ]
    assert [words.of(entry) for entry in entries] == [("kite", "a cat"), ("kite", "dog"), ("kite",)]
    images = pictures()[:1] * 3
    together = proposer.propose(images, entries)
    assert [set(proposals.labels or ()) for proposals in together][2] == {"kite"}
    for entry, proposals in zip(entries, together, strict=True):
        (alone,) = proposer.propose(images[:1], [entry])
        assert alone.labels == proposals.labels
        assert np.allclose(alone.boxes_xyxy, proposals.boxes_xyxy, atol=1e-3)
        assert set(proposals.labels or ()) <= set(words.of(entry))
    assert SoughtWords().of(entries[2]) == ("object",)


# --- settings of processors


def test_boxes_of_a_padded_picture_are_moved_to_the_image(folder_of: Folder, tmp_path: Path) -> None:
    """A processor that pads every image to a fixed size has made boxes parts of that picture in training."""
    plain = load_transformers_detector(str(folder_of("yolos")))
    padded = edited(
        folder_of("yolos"), tmp_path, "preprocessor_config.json", pad_size={"height": 128, "width": 128}
    )
    image = Image.new("RGB", (96, 48), "white")
    (found,) = load_transformers_detector(str(padded)).detect([image], [()])
    # The image fills 96 x 48 of the 128 x 128 pixels that the model sees.
    shares = _normalised_boxes(padded, image)
    expected = shares * np.array([128, 128, 128, 128], np.float32)
    assert np.allclose(np.sort(found.boxes_xyxy, axis=0), np.sort(expected, axis=0), atol=0.05)
    (whole,) = plain.detect([image], [()])
    assert not np.allclose(whole.boxes_xyxy[0], found.boxes_xyxy[0], atol=1)


def _normalised_boxes(folder: Path, image: Image.Image) -> np.ndarray:
    """The model's boxes of an image as shares of the picture that it sees, each once."""
    from transformers import AutoImageProcessor, AutoModelForObjectDetection

    model = AutoModelForObjectDetection.from_pretrained(folder).eval()
    inputs = AutoImageProcessor.from_pretrained(folder)(images=[image], return_tensors="pt")
    assert inputs["pixel_values"].shape[-2:] == (128, 128)
    with torch.inference_mode():
        centres = model(pixel_values=inputs["pixel_values"]).pred_boxes[0].numpy()
    half = centres[:, 2:] / 2
    return np.unique(np.concatenate([centres[:, :2] - half, centres[:, :2] + half], axis=1), axis=0)


def test_a_processor_that_knows_only_the_longest_edge_scales_to_it(folder_of: Folder, tmp_path: Path) -> None:
    file = "preprocessor_config.json"
    folder = edited(folder_of("table-transformer"), tmp_path, file, size={"longest_edge": 80})
    detector = load_transformers_detector(str(folder))
    pixels = detector._loaded.processor(images=[Image.new("RGB", (100, 50))], return_tensors="pt")
    assert pixels["pixel_values"].shape[-2:] == (40, 80)


def test_a_processor_without_a_usable_size_is_refused(folder_of: Folder, tmp_path: Path) -> None:
    folder = edited(folder_of("detr"), tmp_path, "preprocessor_config.json", size={"shortest_edge": 80})
    with pytest.raises(CheckpointError, match="correct `size` in preprocessor_config.json") as caught:
        load_transformers_detector(str(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(is_timm_available(), reason="timm is installed: its backbones work")
def test_a_backbone_that_is_not_installed_is_refused(folder_of: Folder, tmp_path: Path) -> None:
    folder = edited(
        folder_of("detr"), tmp_path, "config.json",
        backbone_config=None, backbone="resnet50", use_timm_backbone=True, use_pretrained_backbone=False,
    )  # fmt: skip
    with pytest.raises(CheckpointError, match=r"timm .*install fo1-data\[detectors\]"):
        load_transformers_detector(str(folder))


def test_weights_of_a_segmentation_model_detect_too(folder_of: Folder, tmp_path: Path) -> None:
    from transformers import AutoConfig, RfDetrForInstanceSegmentation

    shutil.copytree(folder_of("rf_detr"), tmp_path / "model")
    config = AutoConfig.from_pretrained(tmp_path / "model")
    RfDetrForInstanceSegmentation(config).save_pretrained(tmp_path / "model")
    (found,) = load_transformers_detector(str(tmp_path / "model")).detect(pictures()[:1], [()])
    assert len(found.boxes_xyxy) > 0


@pytest.mark.parametrize(
    "model_type", ["mask2former", "maskformer", "oneformer", "eomt", "kosmos-2", "sam2", "qwen2_5_vl"]
)
def test_other_models_are_refused(model_type: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    with pytest.raises(CheckpointError, match=f"is a {model_type} model, which is not an object detector"):
        load_transformers_detector(str(tmp_path))


# --- text lines


def text_line_detector(map_hw: tuple[int, int], folder: Path) -> Detector:
    """The processor of PP-OCR with a model that sees a level and a tilted line, on a map of this size."""
    import cv2
    from transformers import AutoImageProcessor

    height, width = map_hw
    seen = np.zeros(map_hw, np.float32)
    cv2.rectangle(seen, (width // 8, height // 8), (width // 2, height // 4), 0.9, -1)
    corners = np.array([(0.5, 0.5), (0.9, 0.7), (0.88, 0.78), (0.48, 0.58)]) * (width, height)
    cv2.fillPoly(seen, [corners.astype(np.int32)], 0.8)
    output = SimpleNamespace(last_hidden_state=torch.from_numpy(seen)[None, None])

    def model(pixel_values: torch.Tensor) -> Any:
        return output

    model.config = SimpleNamespace(id2label={0: "text"})  # type: ignore[attr-defined]
    processor = AutoImageProcessor.from_pretrained(folder)
    loaded = LoadedCheckpoint("text", folder, model, processor, torch.device("cpu"))
    return TextLineDetector(loaded, "f" * 64, None)


@pytest.mark.parametrize("image_wh", [(640, 320), (40_000, 200)])
def test_a_box_encloses_its_text_line(image_wh: tuple[int, int], folder_of: Folder) -> None:
    """Also of a picture whose sides are larger than the processor's 16-bit corners."""
    detector = text_line_detector((320, 640), folder_of("pp_ocrv5_server_det"))
    (found,) = detector.detect([Image.new("RGB", image_wh)], [()])
    assert found.boxes_xyxy.shape == (2, 4)
    assert np.allclose(np.sort(found.scores), [0.8, 0.9], atol=0.05)
    level = found.boxes_xyxy[found.scores.argmax()] / np.array([*image_wh, *image_wh])
    tilted = found.boxes_xyxy[found.scores.argmin()] / np.array([*image_wh, *image_wh])
    # The processor widens a line, because the map is of its core.
    assert np.allclose(level, [0.125, 0.125, 0.5, 0.25], atol=0.09)
    assert (level[:2] < 0.125).all()
    assert (level[2:] > (0.5, 0.25)).all()
    assert (tilted[:2] < (0.48, 0.5)).all()
    assert (tilted[2:] > (0.9, 0.78)).all()
