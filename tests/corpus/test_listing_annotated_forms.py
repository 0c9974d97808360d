"""COCO, Pascal VOC, YOLO and WebDataset: what is kept, what is rejected, what is refused."""

import json
import math
from pathlib import Path

import pytest
from corpus_samples import SAMPLES, coco, jpeg, listed, names, put, voc, write_tar

from fo1_data.corpus.entry_bytes import read_bytes
from fo1_data.corpus.images import InputLimits, decode_rgb
from fo1_data.corpus.readers import load_listing

# --- COCO


def test_coco(tmp_path: Path) -> None:
    put(tmp_path, "train2017/a.jpg", "train2017/b.jpg")
    (tmp_path / "annotations").mkdir()
    path = tmp_path / "annotations" / "instances_train2017.json"
    path.write_text(json.dumps(coco()))
    (first, second), rejects = listed(path)
    assert not rejects
    assert (first.uri, first.id, first.width) == (f"{tmp_path}/train2017/a.jpg", "5", 8)
    assert [(r.box_xyxy, r.label, r.caption) for r in first.regions or []] == [
        ((1, 2, 4, 6), "car", None),
        ((0, 0, 1, 1), "7", "a wheel"),
    ]
    assert first.meta == {"license": 3, "region_meta": [{"id": 1, "iscrowd": 1}, {"id": 2}]}
    assert second.regions == []


def test_coco_captions_leave_boxes_unknown(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jpg")
    captions = [{"id": n, "image_id": 5, "caption": text} for n, text in enumerate(["one", "two"])]
    (tmp_path / "captions.json").write_text(json.dumps(coco(annotations=captions)))
    (first, second), _ = listed(tmp_path / "captions.json")
    assert (first.caption, first.regions, second.regions) == ("one", None, None)
    assert (first.meta or {})["captions"] == ["one", "two"]


def test_coco_with_errors(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    annotations = [
        {"image_id": 5, "bbox": [1, 2]},
        {"image_id": 77, "bbox": [1, 2, 3, 4]},
        {"image_id": [1], "bbox": [1, 2, 3, 4]},
        "nonsense",
    ]
    images = [coco()["images"][0], {"id": 6}, 3]
    (tmp_path / "x.json").write_text(json.dumps(coco(images=images, annotations=annotations)))
    (entry,), rejects = listed(tmp_path / "x.json")
    assert len(entry.regions or []) == 1
    assert sorted(reject.reason for reject in rejects) == [
        "bad_record",
        "no_image",
        "no_image",
        "unknown_image",
        "unknown_image",
    ]


# --- Pascal VOC


@pytest.mark.parametrize("place", ["", "Annotations", "Annotations/*.xml", "Annotations/a.xml"])
def test_voc(tmp_path: Path, place: str) -> None:
    put(tmp_path, "JPEGImages/a.jpg")
    put(tmp_path, "Annotations/a.xml", data=voc("a.jpg"))
    (entry,), rejects = listed(tmp_path / place)
    assert not rejects
    assert (entry.uri, entry.id, entry.width, entry.height) == (f"{tmp_path}/JPEGImages/a.jpg", "a", 8, 6)
    assert [(r.box_xyxy, r.label) for r in entry.regions or []] == [((1, 2, 3.5, 4), "cat")]
    assert entry.meta == {"folder": "f", "region_meta": [{"difficult": "1"}]}


def test_voc_with_errors(tmp_path: Path) -> None:
    put(tmp_path, "b.png")
    put(tmp_path, "a.xml", data=b"<annotation><")
    put(tmp_path, "b.xml", data=voc("elsewhere.jpg", box="<xmin>1</xmin>"))
    put(tmp_path, "c.xml", data=b"<other/>")
    bomb = (
        b'<!DOCTYPE a [<!ENTITY x "'
        + b"y" * 100_000
        + b'">]><annotation>'
        + b"&x;" * 100_000
        + b"</annotation>"
    )
    put(tmp_path, "d.xml", data=bomb)
    entries, rejects = listed(f"{tmp_path}/*.xml")
    assert [entry.uri for entry in entries] == [f"{tmp_path}/b.png"]
    assert math.isnan((entries[0].regions or [])[0].box_xyxy[0])
    assert [reject.reason for reject in rejects] == ["bad_xml", "bad_record", "bad_xml"]


def test_a_stray_xml_does_not_make_a_folder_voc(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    put(tmp_path, "settings.xml", data=b"<settings/>")
    assert names(tmp_path) == ["a.jpg", "settings.xml"]


# --- YOLO


@pytest.mark.parametrize("place", ["data.yaml", ""])
@pytest.mark.parametrize("style", ["folders", "lists"])
def test_yolo(tmp_path: Path, place: str, style: str) -> None:
    put(tmp_path, "images/train/a.jpg", "images/val/b.jpg")
    put(tmp_path, "labels/train/a.txt", data=b"1 0.5 0.5 0.5 1.0\n\n0 0.1 0.1 0.3 0.1 0.2 0.4\nx y\n")
    if style == "folders":
        places = "train: images/train\nval: [images/val]"
    else:
        put(tmp_path, "train.txt", data=b"./images/train/a.jpg\n")
        put(tmp_path, "val.txt", data=b"images/val/b.jpg\n")
        places = "train: train.txt\nval: val.txt"
    (tmp_path / "data.yaml").write_text(f"path: /somebody/elses\n{places}\nnames: {{0: dog, 1: cat}}\n")
    (first, second), rejects = listed(tmp_path / place)
    assert [reject.reason for reject in rejects] == ["bad_line"]
    assert (first.box_unit, first.id, first.meta) == ("share", "a", {"split": "train"})
    boxes = [[round(v, 5) for v in region.box_xyxy] for region in first.regions or []]
    assert boxes == [[0.25, 0.0, 0.75, 1.0], [0.1, 0.1, 0.3, 0.4]]
    assert [region.label for region in first.regions or []] == ["cat", "dog"]
    assert (second.regions, second.meta) == ([], {"split": "val"})


@pytest.mark.parametrize(
    ("line", "kpt_shape", "box"),
    [
        # Its first two corners, as the centre and size of a box, would hold the others.
        ("0.45 0.45 0.55 0.45 0.55 0.55 0.45 0.55", "", [0.45, 0.45, 0.55, 0.55]),
        ("0.5 0.4 0.6 0.5 0.5 0.6", "", [0.5, 0.4, 0.6, 0.6]),
        ("0.5 0.5 0.2 0.4 0.5 0.4 2 0.45 0.6 1", "", [0.4, 0.3, 0.6, 0.7]),
        ("0.5 0.5 0.2 0.4 0.5 0.4 0.45 0.6", "kpt_shape: [2, 2]\n", [0.4, 0.3, 0.6, 0.7]),
    ],
    ids=["square in the middle", "triangle in the middle", "flagged points", "points as the YAML says"],
)
def test_yolo_polygons_and_key_points(tmp_path: Path, line: str, kpt_shape: str, box: list[float]) -> None:
    put(tmp_path, "images/a.jpg")
    put(tmp_path, "labels/a.txt", data=f"0 {line}\n".encode())
    (tmp_path / "data.yaml").write_text(f"train: images\n{kpt_shape}names: [cat]\n")
    ((entry,), _) = listed(tmp_path)
    (region,) = entry.regions or []
    assert [round(value, 5) for value in region.box_xyxy] == box
    assert bool(entry.meta and "region_meta" in entry.meta) == (box == [0.4, 0.3, 0.6, 0.7])


@pytest.mark.parametrize(
    ("places", "notes"),
    [
        ("train: images\nval: images", ["3 images of val were named before, in train: read once"]),
        ("train: [images/a, images]\nval: ./images/", [
            "1 image of train was named before, in train: read once",
            "3 images of val were named before, in train: read once",
        ]),
        ("train: all.txt\nval: images/a", [
            "1 image of train was named before, in train: read once",
            "1 image of val was named before, in train: read once",
        ]),
    ],
    ids=["one folder", "a folder in another", "a list"],
)  # fmt: skip
def test_an_image_of_two_yolo_splits_is_read_once(tmp_path: Path, places: str, notes: list[str]) -> None:
    names = ("a/x", "b/y", "c/z")
    put(tmp_path, *(f"images/{name}.jpg" for name in names))
    put(tmp_path, *(f"labels/{name}.txt" for name in names), data=b"0 0.5 0.5 0.5 1.0\n")
    put(tmp_path, "labels/a/lost.txt", data=b"0 0.5 0.5 0.5 1.0\n")
    lines = "".join(f"images/{name}.jpg\n" for name in (*names, "a/x"))
    (tmp_path / "all.txt").write_text(lines)
    (tmp_path / "data.yaml").write_text(f"{places}\nnames: [cat]\n")
    listing = load_listing(str(tmp_path / "data.yaml"))
    (source,) = listing.sources
    num_lost = len(listing.rejects)
    assert (num_lost, [reject.reason for reject in listing.rejects]) == (1, ["no_image"])
    assert source.attached == {"images": 3, "boxes": 3, "sidecars": 3}
    assert source.found == {"images": 3, "boxes": 4, "sidecars": 4}
    assert source.notes == notes
    assert [len(entry.regions or []) for entry in listing.entries] == [1, 1, 1]
    assert {(entry.meta or {})["split"] for entry in listing.entries} == {"train"}


def test_a_file_that_two_alternatives_match_is_listed_once(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jpg")
    (source,) = load_listing(f"{tmp_path}/{{b,*}}.jpg").sources
    assert source.found == {"images": 2}


@pytest.mark.parametrize("place", ["", "labels"])
def test_yolo_folders_without_a_yaml(tmp_path: Path, place: str) -> None:
    put(tmp_path, "images/a.png")
    put(tmp_path, "labels/a.txt", data=b"1 0.5 0.5 0.5 1.0")
    put(tmp_path, "classes.txt", data=b"dog\ncat\n")
    (entry,), _ = listed(tmp_path / place)
    assert entry.uri == f"{tmp_path}/images/a.png"
    assert [region.label for region in entry.regions or []] == ["cat"]


# --- WebDataset


@pytest.mark.parametrize("mode", ["w:", "w:gz"])
@pytest.mark.parametrize("place", ["x-000.tar", "x-{000..001}.tar", "*.tar", ""])
def test_webdataset(tmp_path: Path, mode: str, place: str) -> None:
    write_tar(tmp_path / "x-000.tar", SAMPLES, mode)
    write_tar(tmp_path / "x-001.tar", {"é\udcff.jpg": jpeg(13, 6)}, mode)
    entries, rejects = listed(tmp_path / place)
    widths = [decode_rgb(read_bytes(entry, InputLimits()), InputLimits()).width for entry in entries]
    assert widths == [8, 9, 10, 11, 12] + ([] if place == "x-000.tar" else [13])
    assert [reject.reason for reject in rejects] == ["bad_sidecar"]
    assert [entry.id for entry in entries][:5] == ["d/1", "d/2", "d/3", "d/3", "d/4"]
    assert (entries[0].caption, len(entries[0].regions or []), entries[0].meta) == ("a caption", 1, {"k": 1})
    assert (entries[1].caption, entries[1].meta, entries[1].regions) == ("a text", {"cls": "17"}, None)
    assert entries[0].name == f"{tmp_path}/x-000.tar::d/1.jpg"
    assert (entries[0].inner_span is None) == (mode == "w:gz")


def test_a_broken_tar_gives_the_samples_before_the_fault(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", SAMPLES)
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[:3000] + b"\xff" * 5000)
    (tmp_path / "b.tar").write_bytes(b"")
    write_tar(tmp_path / "c.tar", {"z.jpg": jpeg()})
    entries, rejects = listed(tmp_path)
    assert (entries[0].id, entries[-1].id) == ("d/1", "z")
    assert {reject.reason for reject in rejects} == {"broken_archive"}
    assert {reject.uri for reject in rejects} == {f"{tmp_path}/a.tar", f"{tmp_path}/b.tar"}


# --- classes without a name


@pytest.mark.parametrize("place", ["data.yaml", ""])
def test_classes_without_a_name_are_told(place: str, tmp_path: Path) -> None:
    put(tmp_path, "images/a.jpg", "images/b.jpg")
    for name, text in (("a", "0 .5 .5 .2 .2\n2 .5 .5 .4 .4\n"), ("b", "7 .5 .5 .2 .2\n2 .3 .3 .2 .2\n")):
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / f"labels/{name}.txt").write_text(text)
    if place:
        (tmp_path / place).write_text("train: images\nnames: [cat, dog]\n")
    else:
        (tmp_path / "classes.txt").write_text("cat\ndog\n")
    (source,) = load_listing(str(tmp_path / place)).sources
    expected = "3 boxes have a class without a name (the classes 2, 7): the number is the label"
    assert source.notes == [expected]


@pytest.mark.parametrize("place", ["data.yaml", "", "labels"])
def test_classes_without_a_name_are_told_of_a_part_of_a_yolo_set(place: str, tmp_path: Path) -> None:
    put(tmp_path, "images/a.jpg", "images/b.jpg", "images/c.jpg")
    for name in ("a", "b", "c"):
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / f"labels/{name}.txt").write_text("0 .5 .5 .2 .2\n2 .5 .5 .4 .4\n")
    (tmp_path / "classes.txt").write_text("cat\n")
    if place == "data.yaml":
        (tmp_path / "one.txt").write_text("images/a.jpg\n")
        (tmp_path / place).write_text("train: one.txt\nval: images\nnames: [cat]\n")
    listing = load_listing(str(tmp_path / place), 2)
    notes = [note for source in listing.sources for note in source.notes]
    assert notes[0] == "2 boxes have a class without a name (the class 2): the number is the label"
    assert notes[1:] == (["1 image of val was named before, in train: read once"] if ".yaml" in place else [])


@pytest.mark.parametrize("folder", ["labels", "."], ids=["labels alone", "beside the images"])
def test_classes_without_a_name_are_told_wherever_label_files_are(folder: str, tmp_path: Path) -> None:
    put(tmp_path, f"{folder}/a.jpg")
    (tmp_path / folder / "a.txt").write_text("0 .5 .5 .2 .2\n2 .5 .5 .4 .4\n")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    notes = [note for source in load_listing(str(tmp_path)).sources for note in source.notes]
    assert notes == ["1 box has a class without a name (the class 2): the number is the label"]


def test_categories_that_are_not_listed_are_told(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    boxes = [{"id": n, "image_id": 5, "category_id": n, "bbox": [0, 0, 2, 2]} for n in (1, 9)]
    categories = [{"id": 1, "name": "cat"}]
    images = [{"id": 5, "file_name": "a.jpg"}]
    document = {"images": images, "annotations": boxes, "categories": categories}
    (tmp_path / "x.json").write_text(json.dumps(document))
    (source,) = load_listing(str(tmp_path / "x.json")).sources
    assert source.notes == ["1 box has a class without a name (the class 9): the number is the label"]
