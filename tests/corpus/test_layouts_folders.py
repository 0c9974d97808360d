"""Folders of images and annotation files as tools and hubs lay them out; what nothing reads is a reject."""

import json
import math
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus_samples import voc
from layout_samples import boxes, listing_of, write

CAT = [(20, 20, 60, 60)]
SHARES = "0 0.333333333 0.5 0.333333333 0.5\n"


def coco(*images: str, kind: str = "boxes", **more: Any) -> str:
    """A COCO file in which every image has a cat, a caption or key points."""
    said = {
        "boxes": {"category_id": 1, "bbox": [20, 20, 40, 40]},
        "captions": {"caption": "a cat"},
        "keypoints": {"category_id": 1, "bbox": [20, 20, 40, 40], "keypoints": [1, 2, 2], "num_keypoints": 1},
    }[kind]
    document = {
        "images": [
            {"id": number, "file_name": name, "width": 120, "height": 80}
            for number, name in enumerate(images)
        ],
        "annotations": [{"id": number, "image_id": number, **said} for number in range(len(images))],
        "categories": [{"id": 1, "name": "cat"}],
    }
    return json.dumps(document | more)


def test_coco_as_a_folder(tmp_path: Path) -> None:
    write(tmp_path, "train2017/a.png", "val2017/a.png", "val2017/b.png")
    annotations = tmp_path / "annotations"
    write(annotations, "instances_train2017.json", text=coco("a.png"))
    write(annotations, "captions_train2017.json", text=coco("a.png", kind="captions"))
    write(annotations, "person_keypoints_train2017.json", text=coco("a.png", kind="keypoints"))
    write(annotations, "instances_val2017.json", text=coco("a.png", "gone.png"))
    write(annotations, "captions_val2017.json", text="")
    listing = listing_of(tmp_path)
    by_name = {entry.uri.removeprefix(f"{tmp_path}/"): entry for entry in listing.entries}
    train, val = by_name["train2017/a.png"], by_name["val2017/a.png"]
    assert (boxes(train), train.caption, boxes(val), val.caption) == (CAT, "a cat", CAT, None)
    assert by_name["val2017/b.png"].regions is None
    assert list(by_name)[:3] == ["train2017/a.png", "val2017/a.png", "val2017/b.png"]
    assert [reject.reason for reject in listing.rejects] == ["unreadable"]
    assert "captions_val2017.json" in listing.rejects[0].message


def test_roboflow_coco(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        write(tmp_path, f"{split}/a_png.rf.1f.png", f"{split}/b.png")
        write(tmp_path, f"{split}/_annotations.coco.json", text=coco("a_png.rf.1f.png"))
    write(tmp_path, "README.roboflow.txt", "README.dataset.txt", text="Exported from a tool\n")
    listing = listing_of(tmp_path)
    assert [boxes(entry) for entry in listing.entries] == [CAT, None, CAT, None]
    assert not listing.rejects


def test_roboflow_yolo(tmp_path: Path) -> None:
    write(tmp_path, "train/images/a.png", "valid/images/a.png")
    write(tmp_path, "train/labels/a.txt", text=SHARES)
    write(tmp_path, "valid/labels/a.txt", text="")
    places = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n"
    write(tmp_path, "data.yaml", text=f"{places}nc: 1\nnames: ['cat']\n")
    listing = listing_of(tmp_path)
    assert [boxes(entry) for entry in listing.entries] == [CAT, []]
    assert (listing.entries[0].regions or [])[0].label == "cat"


def test_other_annotations_beside_yolo_are_told(tmp_path: Path) -> None:
    write(tmp_path, "images/a.png")
    write(tmp_path, "labels/a.txt", text=SHARES)
    write(tmp_path, "captions.json", text=coco("a.png", kind="captions"))
    write(tmp_path, "settings.json", text="{}")
    listing = listing_of(tmp_path)
    assert [boxes(entry) for entry in listing.entries] == [CAT]
    assert [reject.reason for reject in listing.rejects] == ["annotations_not_read"]
    message = "is not read beside a YOLO set: captions.json; give it as a corpus of its own"
    assert listing.rejects[0].message.endswith(message)


def test_a_yolo_set_one_folder_down(tmp_path: Path) -> None:
    for part in ("one", "two"):
        write(tmp_path, f"{part}/train/images/a.png")
        write(tmp_path, f"{part}/train/labels/a.txt", text=SHARES)
        write(tmp_path, f"{part}/data.yaml", text=f"train: ../train/images\nnames: [{part}]\n")
    listing = listing_of(tmp_path)
    assert [boxes(entry) for entry in listing.entries] == [CAT, CAT]
    assert [(entry.regions or [])[0].label for entry in listing.entries] == ["one", "two"]


@pytest.mark.parametrize("form", ["txt", "xml"])
def test_labelimg(tmp_path: Path, form: str) -> None:
    write(tmp_path, "a.png", "b.png")
    if form == "txt":
        write(tmp_path, "a.txt", text="1" + SHARES[1:])
        write(tmp_path, "classes.txt", text="dog\ncat\n")
    else:
        box = "<xmin>20</xmin><ymin>20</ymin><xmax>60</xmax><ymax>60</ymax>"
        write(tmp_path, "a.xml", text=voc("a.png", box).decode())
    listing = listing_of(tmp_path)
    first, second = listing.entries
    assert (boxes(first), second.regions, listing.rejects) == (CAT, None, [])
    assert (first.regions or [])[0].label == "cat"


def test_cvat_yolo(tmp_path: Path) -> None:
    write(tmp_path, "obj_train_data/a.png", "obj_train_data/sub/a.png")
    write(tmp_path, "obj_train_data/a.txt", text="")
    write(tmp_path, "obj_train_data/sub/a.txt", text=SHARES)
    write(tmp_path, "obj.data", text="classes = 1\ntrain = data/train.txt\nnames = data/obj.names\n")
    write(tmp_path, "obj.names", text="cat\n")
    write(tmp_path, "train.txt", text="data/obj_train_data/a.png\ndata/obj_train_data/sub/a.png\n")
    listing = listing_of(tmp_path)
    assert [boxes(entry) for entry in listing.entries] == [[], CAT]
    assert (listing.entries[1].regions or [])[0].label == "cat"
    assert not listing.rejects


def test_cvat_coco(tmp_path: Path) -> None:
    write(tmp_path, "images/default/sub/a.png", "images/default/b.png")
    write(tmp_path, "annotations/instances_default.json", text=coco("sub/a.png"))
    by_name = {entry.uri.rpartition("/")[2]: entry for entry in listing_of(tmp_path).entries}
    assert (boxes(by_name["a.png"]), by_name["b.png"].regions) == (CAT, None)


def test_voc_of_several_years_with_folders(tmp_path: Path) -> None:
    box = "<xmin>20</xmin><ymin>20</ymin><xmax>60</xmax><ymax>60</ymax>"
    for year, name in (("VOC2007", "a"), ("VOC2012", "a"), ("VOC2012", "sub/b")):
        write(tmp_path, f"VOCdevkit/{year}/JPEGImages/{name}.png")
        text = voc(f"{name[-1]}.png", box).decode().replace("cat", year)
        write(tmp_path, f"VOCdevkit/{year}/Annotations/{name}.xml", text=text)
        write(tmp_path, f"VOCdevkit/{year}/ImageSets/Main/train.txt", text="a 1\n")
    write(tmp_path, "VOCdevkit/VOC2012/JPEGImages/c.png")
    listing = listing_of(tmp_path)
    assert [(entry.uri.rpartition("VOCdevkit/")[2], boxes(entry)) for entry in listing.entries] == [
        ("VOC2007/JPEGImages/a.png", CAT),
        ("VOC2012/JPEGImages/a.png", CAT),
        ("VOC2012/JPEGImages/c.png", None),
        ("VOC2012/JPEGImages/sub/b.png", CAT),
    ]
    assert [(entry.regions or [])[0].label for entry in listing.entries[:2]] == ["VOC2007", "VOC2012"]
    assert not listing.rejects


RECORDS = [
    {
        "file_name": "a.png",
        "text": "a cat",
        "objects": {"bbox": [[20, 20, 40, 40]], "categories": ["cat"], "n": 1},
    },
    {"file_name": "sub/a.png", "objects": [{"bbox": [0, 0, 5, 5], "label": "dog", "age": 3}]},
]


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("alone", [False, True])
def test_hugging_face_image_folder(tmp_path: Path, form: str, alone: bool) -> None:
    write(tmp_path, "train/a.png", "train/sub/a.png", "train/c.png")
    path = tmp_path / f"train/metadata.{form}"
    if form == "jsonl":
        path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    elif form == "csv":
        quoted = ['"' + json.dumps(record["objects"]).replace('"', '""') + '"' for record in RECORDS]
        path.write_text(f"file_name,text,objects\na.png,a cat,{quoted[0]}\nsub/a.png,,{quoted[1]}\n")
    else:
        rows = [{**RECORDS[0], "objects": {"bbox": [[20, 20, 40, 40]], "categories": ["cat"]}}]
        rows += [{"file_name": "sub/a.png", "objects": {"bbox": [[0, 0, 5, 5]], "categories": ["dog"]}}]
        pq.write_table(pa.Table.from_pylist(rows), path)
    listing = listing_of(path if alone else tmp_path)
    by_name = {entry.uri.removeprefix(f"{tmp_path}/train/"): entry for entry in listing.entries}
    assert (boxes(by_name["a.png"]), by_name["a.png"].caption) == (CAT, "a cat")
    assert boxes(by_name["sub/a.png"]) == [(0, 0, 5, 5)]
    assert (by_name["sub/a.png"].regions or [])[0].label == "dog"
    assert len(by_name) == (2 if alone else 3)
    assert not listing.rejects


@pytest.mark.parametrize(
    ("read", "caption"),
    [
        (datetime(2026, 3, 1), "2026-03-01"),
        (date(2026, 3, 1), "2026-03-01"),
        (datetime(2026, 3, 1, 10, 30), "2026-03-01 10:30:00"),
        (time(10, 30), "10:30:00"),
        (12, "12"),
        (math.nan, None),
    ],
)
def test_a_text_that_another_reader_took_for_a_day_a_time_or_a_number_is_a_text(
    tmp_path: Path, read: Any, caption: str | None
) -> None:
    write(tmp_path, "a.png")
    box = {"box_xyxy": [20.0, 20.0, 60.0, 60.0], "text": read}
    row = {"file_name": "a.png", "text": read, "regions": [box]}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "metadata.parquet")
    listing = listing_of(tmp_path)
    (entry,) = listing.entries
    assert (entry.caption, (entry.regions or [])[0].text) == (caption, caption)
    assert (entry.meta, listing.rejects) == (None, [])
    kinds = {} if caption is None else {"captions": 1, "texts": 1}
    assert listing.sources[0].found == {"images": 1, "boxes": 1} | kinds


def test_a_text_that_is_true_or_false_is_no_caption(tmp_path: Path) -> None:
    write(tmp_path, "a.png")
    pq.write_table(
        pa.Table.from_pylist([{"file_name": "a.png", "text": True}]), tmp_path / "metadata.parquet"
    )
    (entry,) = listing_of(tmp_path).entries
    assert (entry.caption, entry.meta) == (None, {"text": True})


def test_what_nothing_reads_is_named(tmp_path: Path) -> None:
    write(tmp_path, "a.png", "b.png")
    write(tmp_path, "a.txt", "b.txt", text="20 20 60 20 60 60 20 60 plane 0\n")
    write(tmp_path, "labels/mine.json", text='{"a.png": [[20, 20, 60, 60]]}')
    write(tmp_path, "boxes.csv", text="picture,x\na.png,3\n")
    write(tmp_path, "marks.mat", text="MATLAB")
    write(tmp_path, "settings.json", text='{"theme": "dark"}')
    write(tmp_path, "README.md", text="# a.png")
    listing = listing_of(tmp_path)
    unread = [reject for reject in listing.rejects if reject.reason == "annotations_not_read"]
    assert len(unread) == len(listing.rejects) == 4
    text = " ".join(reject.message for reject in unread)
    assert all(name in text for name in ("a.txt, b.txt", "labels/mine.json", "boxes.csv", "marks.mat"))
    # Without annotations that are read every other file counts as an image, as in a plain folder.
    names = [entry.uri.rpartition("/")[2] for entry in listing.entries]
    assert names == ["README.md", "a.png", "b.png", "settings.json"]
    assert all(entry.regions is None for entry in listing.entries)
    (source,) = {s.source: s for s in listing.sources if s.rejected}.values()
    assert source.rejected == {"sidecars": 5}


def test_two_images_of_the_name_are_told(tmp_path: Path) -> None:
    write(tmp_path, "x/a.png", "y/a.png")
    shapes = [{"label": "cat", "shape_type": "rectangle", "points": [[20, 20], [60, 60]]}]
    write(tmp_path, "json/a.json", text=json.dumps({"imagePath": "a.png", "shapes": shapes}))
    write(tmp_path, "json/a.txt", text=SHARES)
    listing = listing_of(tmp_path)
    assert [entry.regions for entry in listing.entries] == [None, None]
    assert [reject.reason for reject in listing.rejects] == ["ambiguous_image"] * 2
    assert "x/a.png" in listing.rejects[0].message


def test_a_limit_keeps_all_that_is_said_of_an_image(tmp_path: Path) -> None:
    from fo1_data.corpus.readers import load_listing

    write(tmp_path, "images/a.png", "images/b.png", "images/c.png")
    write(tmp_path, "annotations/instances.json", text=coco("c.png", "a.png"))
    write(tmp_path, "annotations/captions.json", text=coco("c.png", "a.png", kind="captions"))
    listing = load_listing(str(tmp_path), limit=1)
    (entry,) = listing.entries
    assert (entry.uri.rpartition("/")[2], boxes(entry), entry.caption) == ("a.png", CAT, "a cat")
