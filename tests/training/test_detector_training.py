"""The detector learns from known boxes alone, and what it learned is what `--proposals` loads."""

import json
from pathlib import Path

import numpy as np
import pytest
from factories import make_label, make_row
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from fo1_data.boxes import as_boxes
from fo1_data.cli.main import app
from fo1_data.errors import CheckpointError, ConfigError
from fo1_data.proposals.identity import identify_proposer
from fo1_data.proposals.load import load_proposer
from fo1_data.proposals.tiny_detector import load_tiny_detector
from fo1_data.synthetic.scenes import make_scene
from fo1_data.training.detection.measuring import Found, count_hits
from fo1_data.training.detection.run import train_detector
from fo1_data.training.detection.samples import BoxedImage, vary
from fo1_data.training.detection.settings import DetectorConfig
from fo1_data.training.detection.views import boxes_are_known
from fo1_data.training.samples.open_examples import row_to_example
from schemas.labels import Decision, Source

CONFIG = DetectorConfig(steps=1, threads=1, device="cpu")


def scenes_with_wide_boxes(folder: Path, count: int, first: int = 930_000_000) -> str:
    """Scenes whose boxes are over twice as wide as their things: the bundled detector draws none such."""
    folder.mkdir()
    lines = []
    for seed in range(first, first + count):
        scene = make_scene(seed, (3, 5), (96, 96))
        scene.image.save(folder / f"{seed}.png")
        regions = []
        for thing in scene.objects:
            left, top, right, bottom = thing.box_xyxy
            margin = 0.65 * (right - left)
            regions.append({"box_xyxy": [max(0, left - margin), top, min(96, right + margin), bottom]})
        lines.append(json.dumps({"image": f"{seed}.png", "regions": regions}) + "\n")
    (folder / "annotations.jsonl").write_text("".join(lines))
    return str(folder / "annotations.jsonl")


def test_it_learns_boxes_and_the_result_is_a_source_of_boxes(tmp_path: Path) -> None:
    corpus = scenes_with_wide_boxes(tmp_path / "corpus", 24)
    unseen = scenes_with_wide_boxes(tmp_path / "unseen", 6, first=940_000_000)
    words = ["train-detector", corpus, "--test", unseen, "--out", str(tmp_path / "detector"), "--json"]
    options = {"steps": 40, "batch-images": 2, "validation-share": 0.25, "threads": 1, "device": "cpu"}
    words += [word for name, value in options.items() for word in (f"--{name}", str(value))]

    ended = CliRunner().invoke(app, words, catch_exceptions=False)

    done, said = json.loads(ended.stdout), ended.stderr.splitlines()

    assert done["images"] + done["validation_images"] == 24
    assert (done["steps"], done["resumed"], done["stopped"], done["left_out"]) == (40, False, None, {})
    assert done["best"]["recall"] > done["before"]["recall"] + 0.2
    assert done["test"]["recall"] > done["test_before"]["recall"] + 0.2
    assert [line for line in said if "the best so far" in line][-1].startswith(
        f"step {done['best']['step']} "
    )
    seen = load_tiny_detector("cpu", tmp_path / "detector" / "model.safetensors").long_edge_max_px
    assert seen == done["long_edge_px"] < 512
    proposer = load_proposer(str(tmp_path / "detector"))
    assert proposer.detects
    assert identify_proposer(str(tmp_path / "detector")).name == proposer.name
    scene = make_scene(930_000_000, (3, 5), (96, 96)).image
    (own,) = proposer.propose([scene], [])
    (bundled,) = load_proposer("fo1-tiny").propose([scene], [])
    widths = [np.median(boxes[:, 2] - boxes[:, 0]) for boxes in (own.boxes_xyxy, bundled.boxes_xyxy)]
    assert widths[0] > 1.2 * widths[1]
    with pytest.raises(ConfigError, match="was started with steps 40, not 1: use the same, or another --out"):
        train_detector([corpus], tmp_path / "detector", CONFIG)
    content = bytearray((tmp_path / "detector" / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "detector" / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model.safetensors is damaged .*SHA256SUMS"):
        load_proposer(str(tmp_path / "detector"))
    (tmp_path / "detector" / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(CheckpointError, match="does not load"):
        load_proposer(str(tmp_path / "detector"))


def test_a_detector_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither fo1-tiny nor a folder of"):
        train_detector(["any"], tmp_path / "out", CONFIG, detector=str(tmp_path))
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty, and holds no run to resume"):
        train_detector(["any"], tmp_path, CONFIG)
    with pytest.raises(ConfigError, match="is a file: name a folder"):
        train_detector(["any"], tmp_path / "notes.txt", CONFIG)


def test_boxes_of_a_detector_count_once_somebody_answers_for_them() -> None:
    row = make_row(0, 2, decisions=[Decision.ACCEPT, Decision.REVIEW])
    assert not boxes_are_known(row_to_example(row))
    doubtful = row.regions[1]
    known = [
        doubtful.model_copy(update={"box_source": Source.HUMAN}),
        doubtful.model_copy(update={"box_source": Source.CORPUS}),
        doubtful.model_copy(update={"labels": [make_label(annotator="someone")]}),
        doubtful.model_copy(update={"decision": Decision.AUDIT}),
    ]
    for region in known:
        settled = row.model_copy(update={"regions": [row.regions[0], region]})
        assert boxes_are_known(row_to_example(settled))


sides = st.integers(20, 90)


@given(width=sides, height=sides, seed=st.integers(0, 2**32))
def test_boxes_move_with_what_they_show(width: int, height: int, seed: int) -> None:
    rgb = Image.new("RGB", (width, height), "black")
    box = (2, 3, width // 2, height - 4)
    rgb.paste("white", box)

    varied = vary(BoxedImage(rgb, as_boxes([box])), np.random.default_rng(seed), 512)

    bright = np.asarray(varied.rgb.convert("L")) > 100
    rows, columns = bright.any(axis=1).nonzero()[0], bright.any(axis=0).nonzero()[0]
    seen = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    assert np.abs(varied.boxes_xyxy[0] - seen).max() <= 1.5


def test_a_box_is_found_once_and_a_detection_finds_one_box() -> None:
    boxes = as_boxes([(0, 0, 10, 10), (1, 0, 11, 10), (50, 50, 60, 60)])
    assert count_hits(as_boxes([(0, 0, 10, 10)]), boxes) == 1
    assert count_hits(as_boxes([(0, 0, 10, 10), (0, 0, 10, 10), (0, 0, 10, 10)]), boxes) == 2
    assert count_hits(as_boxes([]), boxes) == count_hits(boxes, as_boxes([])) == 0
    assert Found(known=4, detected=2, hits=1).document() == {
        "recall": 0.25, "recall_75": 0.0, "precision": 0.5, "f1": 0.3333, "boxes": 4,
    }  # fmt: skip
    assert Found(0, 0, 0).document() == {
        "recall": 0.0,
        "recall_75": 0.0,
        "precision": 0.0,
        "f1": 0.0,
        "boxes": 0,
    }
