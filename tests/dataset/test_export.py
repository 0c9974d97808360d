"""Exports keep what their form can hold and load in the tools they are for."""

import json
import tarfile
from pathlib import Path

import pytest
from datasets import load_dataset
from factories import make_answer, make_count, make_dataset, make_row
from PIL import Image

from fo1_data.corpus.readers import load_listing
from fo1_data.dataset.exports.export import export_dataset
from fo1_data.errors import ConfigError, DatasetError
from schemas.corpus import CorpusImage
from schemas.images import ImageRow
from schemas.labels import LabelKind


@pytest.fixture
def rows(tmp_path: Path) -> list[ImageRow]:
    rows = [make_row(i, folder=tmp_path / "images", split="test" if i == 2 else "train") for i in range(3)]
    rows[0].regions[1].source_label = "triangle"
    rows[0].regions[1].detailed_caption = "a long one"
    rows[1].groundings[0] = (
        rows[1].groundings[0].model_copy(update={"kind": LabelKind.DETECT, "phrase": "square"})
    )
    rows[1].counts = [make_count(rows[1].regions)]
    rows[1].caption = "An <image> of shapes"
    make_dataset(tmp_path / "d", rows)
    return rows


def test_coco_keeps_captions_by_region(tmp_path: Path, rows: list[ImageRow]) -> None:
    out = tmp_path / "coco"
    done = export_dataset(str(tmp_path / "d"), "coco", str(out))
    assert done == {"images": 3, "annotations": 6, "categories": 3}
    train = json.loads((out / "train.json").read_text())
    names = {category["id"]: category["name"] for category in train["categories"]}
    assert [image["file_name"] for image in train["images"]] == [rows[0].uri, rows[1].uri]
    regions = [region for row in rows[:2] for region in row.regions]
    for annotation, region in zip(train["annotations"], regions, strict=True):
        x0, y0, x1, y1 = region.box_xyxy
        assert annotation["bbox"] == [x0, y0, x1 - x0, y1 - y0]
        assert annotation["area"] == (x1 - x0) * (y1 - y0)
        assert annotation["caption"] == region.brief_caption
        assert annotation["detailed_caption"] == region.detailed_caption
        assert annotation["region_id"] == region.region_id
    assert [names[a["category_id"]] for a in train["annotations"]] == [
        "object",
        "triangle",
        "square",
        "object",
    ]
    assert [a["id"] for a in train["annotations"]] == [1, 2, 3, 4]
    assert [a["image_id"] for a in train["annotations"]] == [1, 1, 2, 2]


def test_an_exported_coco_file_is_a_corpus_again(tmp_path: Path, rows: list[ImageRow]) -> None:
    export_dataset(str(tmp_path / "d"), "coco", str(tmp_path / "coco"))
    entries = load_listing(str(tmp_path / "coco" / "test.json")).entries
    assert [entry.uri for entry in entries if isinstance(entry, CorpusImage)] == [rows[2].uri]
    (entry,) = entries
    assert isinstance(entry, CorpusImage)
    assert [region.box_xyxy for region in entry.regions or []] == [r.box_xyxy for r in rows[2].regions]
    assert [region.caption for region in entry.regions or []] == [r.brief_caption for r in rows[2].regions]


def test_yolo_lines_give_the_boxes_back(tmp_path: Path, rows: list[ImageRow]) -> None:
    out = tmp_path / "yolo"
    export_dataset(str(tmp_path / "d"), "yolo", str(out))
    row = rows[0]
    lines = (out / "labels" / "train" / f"{row.image_id}.txt").read_text().splitlines()
    with Image.open(out / "images" / "train" / f"{row.image_id}.png") as image:
        width, height = image.size
    for line, region in zip(lines, row.regions, strict=True):
        _, x, y, w, h = (float(part) for part in line.split())
        box = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
        assert box == pytest.approx(region.box_xyxy, abs=0.01)
    assert '2: "triangle"' in (out / "data.yaml").read_text()
    assert "test: images/test" in (out / "data.yaml").read_text()


def test_webdataset_holds_rows_and_the_very_bytes(tmp_path: Path, rows: list[ImageRow]) -> None:
    out = tmp_path / "wds"
    assert export_dataset(str(tmp_path / "d"), "webdataset", str(out)) == {"images": 3, "tars": 2}
    with tarfile.open(out / "train-00000.tar") as tar:
        names = tar.getnames()
        assert names[:2] == [f"{rows[0].image_id}.png", f"{rows[0].image_id}.json"]
        image, document = tar.extractfile(names[0]), tar.extractfile(names[1])
        assert image is not None
        assert document is not None
        assert image.read() == Path(rows[0].uri).read_bytes()
        assert json.loads(document.read())["regions"][0]["brief_caption"] == rows[0].regions[0].brief_caption


@pytest.mark.parametrize("profile", ["trl", "ms-swift", "llama-factory"])
def test_messages_fit_each_trainer(tmp_path: Path, rows: list[ImageRow], profile: str) -> None:
    out = tmp_path / profile
    done = export_dataset(str(tmp_path / "d"), "messages", str(out), profile)
    assert done["samples"] == 3
    samples = load_dataset(
        "json", data_files=str(out / "train.jsonl"), split="train", cache_dir=str(tmp_path)
    )
    for sample, row in zip(samples, rows[:2], strict=True):
        assert (out / sample["images"][0]).read_bytes() == Path(row.uri).read_bytes()
        text = "".join(message["content"] for message in sample["messages"])
        assert text.count("<image>") == (0 if profile == "trl" else 1)
        assert [m["role"] for m in sample["messages"]] == ["user", "assistant"] * (
            len(sample["messages"]) // 2
        )
        assert row.regions[0].brief_caption in text
    assert (out / "dataset_info.json").exists() == (profile == "llama-factory")


def test_what_was_answered_with_nothing_is_not_asked(tmp_path: Path) -> None:
    row = make_row(0, folder=tmp_path / "images", caption=" ")
    row.regions[1].brief_caption = "\n"
    answer = make_answer()
    nothing = {"answer": " ", "question": "Why?"}
    row.answers = [
        answer,
        answer.model_copy(update={**nothing, "answer": ""}),
        answer.model_copy(update={**nothing, "reasoning": "it is hard to see"}),
    ]
    silent = make_row(1, folder=tmp_path / "images", groundings=[])
    silent.regions = []
    silent.answers = [answer.model_copy(update=nothing)]
    make_dataset(tmp_path / "d", [row, silent])
    assert export_dataset(str(tmp_path / "d"), "messages", str(tmp_path / "m"), "trl")["samples"] == 1
    (line,) = (tmp_path / "m" / "train.jsonl").read_text("utf-8").splitlines()
    messages = json.loads(line)["messages"]
    assert all(message["content"].strip() for message in messages)
    assert [message["content"] for message in messages[-2:]] == ["What colour?", "blue"]
    assert len(messages) == 2 * 3


def test_wrong_wishes_are_one_line(tmp_path: Path, rows: list[ImageRow]) -> None:
    for form, profile in (("tfrecord", None), ("messages", None), ("messages", "other"), ("coco", "trl")):
        with pytest.raises(ConfigError):
            export_dataset(str(tmp_path / "d"), form, str(tmp_path / "x"), profile)
    with pytest.raises(DatasetError, match="not empty"):
        export_dataset(str(tmp_path / "d"), "coco", str(tmp_path / "images"))
