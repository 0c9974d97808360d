"""Exports keep what their form can hold and load in the tools they are for."""

import json
import tarfile
from pathlib import Path

import pytest
import yaml
from datasets import load_dataset
from factories import encode, make_answer, make_count, make_dataset, make_image, make_row
from PIL import Image

from fo1_data.corpus.readers import load_listing
from fo1_data.dataset.exports.export import export_dataset
from fo1_data.dataset.exports.messages import box_text
from fo1_data.dataset.pixels import suffix_of_bytes
from fo1_data.errors import ConfigError, DatasetError
from schemas.corpus import CorpusImage
from schemas.images import ImageRow
from schemas.labels import LabelKind, Source


@pytest.fixture
def rows(tmp_path: Path) -> list[ImageRow]:
    rows = [make_row(i, folder=tmp_path / "images", split="test" if i == 2 else "train") for i in range(3)]
    rows[0].regions[1].source_label, rows[0].regions[1].box_source = "triangle", Source.CORPUS
    rows[0].regions[0].source_label = "blob"  # the detector's name, which is no category
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
        assert annotation["label"] == region.corpus_label
        assert annotation["detector_label"] == region.detector_label
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
    lines = (out / "labels" / "train" / "00000.txt").read_text().splitlines()
    with Image.open(out / "images" / "train" / "00000.png") as image:
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
    for form, profile in (("tfrecord", None), ("messages", "other"), ("coco", "trl")):
        with pytest.raises(ConfigError):
            export_dataset(str(tmp_path / "d"), form, str(tmp_path / "x"), profile)
    with pytest.raises(DatasetError, match="not empty"):
        export_dataset(str(tmp_path / "d"), "coco", str(tmp_path / "images"))


def test_yolo_paths_start_in_the_folder_of_data_yaml(tmp_path: Path, rows: list[ImageRow]) -> None:
    """Ultralytics takes a `path: .` from the current folder; without `path`, the file's own folder."""
    export_dataset(str(tmp_path / "d"), "yolo", str(tmp_path / "yolo"))
    document = yaml.safe_load((tmp_path / "yolo" / "data.yaml").read_text())
    assert "path" not in document
    for split in ("train", "val", "test"):
        assert list((tmp_path / "yolo" / document[split]).rglob("*.png"))


def test_names_of_odd_characters_are_read_from_data_yaml_as_they_are(tmp_path: Path) -> None:
    names = ["a\x7fb", "a\x85b", "a\x9fb", "a\u2028b", "a\nb", "\ufeffcafé 😀", 'a "b" \\ c', "\ufffe"]
    row = make_row(0, num_regions=len(names), folder=tmp_path / "made")
    for region, name in zip(row.regions, names, strict=True):
        region.source_label, region.box_source = name, Source.CORPUS
    row.groundings = []
    make_dataset(tmp_path / "d", [row])
    export_dataset(str(tmp_path / "d"), "yolo", str(tmp_path / "yolo"))
    text = (tmp_path / "yolo" / "data.yaml").read_text(encoding="utf-8")
    assert list(yaml.safe_load(text)["names"].values()) == sorted(names)
    regions = [
        region for entry in load_listing(str(tmp_path / "yolo")).entries for region in entry.regions or []
    ]
    assert [region.label for region in regions] == names


def test_images_keep_their_names(tmp_path: Path) -> None:
    """Their folders too, with the start of their id behind the stem where two would meet; none is lost."""
    places = ["a/x.png", "b/x.png", "b/x.jpg", "b/images/X.png", "b/X.PNG"]
    rows = []
    for number, place in enumerate(places):
        row = make_row(number, folder=tmp_path / "made")
        path = tmp_path / "corpus" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Path(row.uri).read_bytes())
        rows.append(row.model_copy(update={"uri": str(path), "uris": [str(path)]}))
    make_dataset(tmp_path / "d", rows)
    export_dataset(str(tmp_path / "d"), "yolo", str(tmp_path / "yolo"))
    folder = tmp_path / "yolo" / "images" / "train"
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    assert names == sorted(
        ["a/x.png", "b/x.png", f"b/x-{rows[2].image_id[:8]}.png", "b/images_/X.png",
         f"b/X-{rows[4].image_id[:8]}.png"]
    )  # fmt: skip
    labels = tmp_path / "yolo" / "labels" / "train"
    assert (
        sorted(str(path.relative_to(labels).with_suffix(".png")) for path in labels.rglob("*.txt")) == names
    )

    export_dataset(str(tmp_path / "d"), "coco", str(tmp_path / "coco"), file_names="relative")
    images = json.loads((tmp_path / "coco" / "train.json").read_text())["images"]
    assert [image["file_name"] for image in images] == places


def test_coco_has_one_id_space_and_copies_images(tmp_path: Path, rows: list[ImageRow]) -> None:
    export_dataset(str(tmp_path / "d"), "coco", str(tmp_path / "coco"), copy_images=True)
    documents = [json.loads((tmp_path / "coco" / f"{split}.json").read_text()) for split in ("train", "test")]
    for column, number in (("images", 3), ("annotations", 6)):
        assert [entry["id"] for document in documents for entry in document[column]] == list(
            range(1, number + 1)
        )
    images = [image for document in documents for image in document["images"]]
    assert [image["file_name"] for image in images] == [
        "images/train/00000.png", "images/train/00001.png", "images/test/00002.png",
    ]  # fmt: skip
    for image, row in zip(images, rows, strict=True):
        assert (tmp_path / "coco" / image["file_name"]).read_bytes() == Path(row.uri).read_bytes()
    export_dataset(
        str(tmp_path / "d"), "coco", str(tmp_path / "abs"), copy_images=True, file_names="absolute"
    )
    first = json.loads((tmp_path / "abs" / "train.json").read_text())["images"][0]
    assert first["file_name"] == str(tmp_path / "abs" / "images" / "train" / "00000.png")


@pytest.mark.parametrize(
    ("box", "text"),
    [
        ((10.2, 5.1, 10.4, 30.0), "[10, 5, 11, 30]"),
        ((10.5, 5.5, 11.5, 6.5), "[10, 5, 12, 7]"),
        ((9.99999, 20.00001, 29.99999, 30.00001), "[10, 20, 30, 30]"),
        ((9.99, 20.0, 10.01, 30.0), "[10, 20, 11, 30]"),
    ],
)
def test_a_thin_box_has_an_area_in_messages(box: tuple[float, float, float, float], text: str) -> None:
    assert box_text(make_row(0, boxes=[box]).regions[0]) == text


@pytest.mark.parametrize(
    ("root", "start"), [(None, "{out}/images/"), (".", "images/"), ("/data/x/", "/data/x/images/")]
)
def test_messages_name_images_as_the_trainer_finds_them(
    tmp_path: Path, rows: list[ImageRow], root: str | None, start: str
) -> None:
    out = tmp_path / "m"
    export_dataset(str(tmp_path / "d"), "messages", str(out), image_root=root)
    samples = [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]
    assert [sample["images"] for sample in samples] == [
        [start.format(out=out) + name] for name in ("00000.png", "00001.png")
    ]
    assert (out / "images" / "00000.png").exists()


@pytest.mark.parametrize(
    ("form", "suffix"),
    [("PPM", "ppm"), ("ICO", "ico"), ("AVIF", "avif"), ("JPEG2000", "jp2"), ("TIFF", "tif"), ("BMP", "bmp"),
     ("GIF", "gif"), ("WEBP", "webp"), ("JPEG", "jpg")],
)  # fmt: skip
def test_every_decoded_format_has_its_suffix(form: str, suffix: str) -> None:
    assert suffix_of_bytes(encode(make_image(), form)) == suffix
