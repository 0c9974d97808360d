"""Every form of corpus, made small: what is kept, what is rejected, what is refused, and in which order."""

import io
import json
import math
import os
import tarfile
from pathlib import Path
from typing import Any

import faulty_server
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fo1_data.corpus.images import InputLimits, decode_rgb
from fo1_data.corpus.readers import read_corpus
from fo1_data.corpus.storage import read_bytes
from fo1_data.errors import CorpusError, InputReject
from schemas.corpus import CorpusImage
from schemas.images import Reject


def jpeg(width: int = 8, height: int = 6) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(buffer, "JPEG")
    return buffer.getvalue()


def put(folder: Path, *names: str, data: bytes | None = None) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg() if data is None else data)


def listed(corpus: Path | str, limit: int | None = None) -> tuple[list[CorpusImage], list[Reject]]:
    items = list(read_corpus(str(corpus), limit))
    assert all(item.stage == "listing" for item in items if isinstance(item, Reject))
    return [i for i in items if isinstance(i, CorpusImage)], [i for i in items if isinstance(i, Reject)]


def names(corpus: Path | str, limit: int | None = None) -> list[str]:
    entries, rejects = listed(corpus, limit)
    assert not rejects
    return [entry.uri.rpartition("/")[2] for entry in entries]


def write_lines(path: Path, records: list[Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


# --- folders, globs, single files


def test_a_folder_is_every_file_in_it(tmp_path: Path) -> None:
    put(tmp_path, "b.jpg", "a.JPG", "noname", ".hidden.jpg", "sub/deep/c.jpg", "sub/a.txt", ".git/x.jpg")
    assert names(tmp_path) == [".hidden.jpg", "a.JPG", "b.jpg", "noname", "a.txt", "c.jpg"]
    assert names(f"file://{tmp_path}", limit=2) == [".hidden.jpg", "a.JPG"]


def test_whatever_lies_in_a_folder_ends_somewhere(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    put(folder, "good.jpg", "a b#%.jpg", "s3:__x.jpg")
    put(folder, "empty.jpg", data=b"")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "loop").symlink_to("loop")
    (folder / "gone").symlink_to("nowhere")
    (folder / "round").symlink_to(folder, target_is_directory=True)
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.jpg")).write_bytes(jpeg())
    entries, rejects = listed(folder)
    assert not rejects
    outcome = {}
    for entry in entries:
        CorpusImage.model_validate_json(entry.model_dump_json())
        try:
            decode_rgb(read_bytes(entry, InputLimits()), InputLimits())
            outcome[entry.uri.rpartition("/")[2]] = "row"
        except InputReject as found:
            outcome[entry.uri.rpartition("/")[2]] = found.reason
    assert outcome == {
        "good.jpg": "row", "a b#%.jpg": "row", "s3:__x.jpg": "row", "%FF.jpg": "row",
        "empty.jpg": "empty", "pipe.jpg": "not_a_file", "loop": "unreadable", "gone": "not_found",
    }  # fmt: skip


def test_linked_folders_are_read_once(tmp_path: Path) -> None:
    put(tmp_path, "far/a.jpg", "here/b.jpg")
    (tmp_path / "here" / "link").symlink_to(tmp_path / "far", target_is_directory=True)
    (tmp_path / "here" / "again").symlink_to(tmp_path / "far", target_is_directory=True)
    assert names(tmp_path / "here") == ["b.jpg", "a.jpg"]


def test_globs_and_braces(tmp_path: Path) -> None:
    put(tmp_path, "a1.jpg", "a2.jpg", "b.png", "sub/a3.jpg", "[x].jpg", "sub/d/a4.jpg")
    assert names(f"{tmp_path}/a*.jpg") == ["a1.jpg", "a2.jpg"]
    assert sorted(names(f"{tmp_path}/**/a?.jpg")) == ["a1.jpg", "a2.jpg", "a3.jpg", "a4.jpg"]
    assert names(f"{tmp_path}/a{{1..2}}.jpg") == ["a1.jpg", "a2.jpg"]
    assert names(f"{tmp_path}/{{b.png,a1.jpg}}") == ["b.png", "a1.jpg"]
    assert names(f"{tmp_path}/[x].jpg") == ["[x].jpg"]


def test_one_image_is_a_corpus(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "noname")
    assert names(tmp_path / "a.jpg") == ["a.jpg"]
    assert names(tmp_path / "noname") == ["noname"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nothing", None, "no such file or folder"),
        ("*.jpg", None, "no file matches"),
        ("x.csv", b"a,b", "is no corpus: looked for a folder"),
        ("x.json", b"[1", "is no JSON"),
        ("x.json", b'{"info": 1}', "looked for the keys images"),
        ("x.parquet", b"PAR1", "is no Parquet"),
        ("x.yaml", b"names: [a]", "looked for the keys train"),
        ("x.yaml", b"a: [", "is no YAML"),
        ("x.yaml", b"train: none\nnames: [a]", "neither in"),
        ("x.txt", b"\n\n", "names no image"),
        ("x.jsonl", b"", "names no image"),
    ],
)
def test_what_is_no_corpus_is_told(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=message) as caught:
        listed(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="names no image"):
        listed(tmp_path)


# --- the project's own form, and lists


def test_annotations_keep_all_that_is_said(tmp_path: Path) -> None:
    put(tmp_path, "images/a.jpg", "b.jpg")
    record = {
        "image": "a.jpg", "width": 8, "height": 6, "id": 7, "caption": "all", "split": "train",
        "meta": {"k": [1]},
        "regions": [
            {"box_xyxy": [0, 1, 2, 3], "label": 0, "caption": "c", "detailed_caption": "d", "text": "t"},
            {"box_xyxy": [0, 1, 2.5, 3], "example": True, "role": "subject"},
        ],
        "phrases": [
            {"text": "cat", "region_indices": [1]}, {"text": "dog", "region_indices": []}, {"text": "ox"},
        ],
        "counts": [{"text": "cat", "count": 2}],
    }  # fmt: skip
    write_lines(tmp_path / "annotations.jsonl", [record, {"image": "b.jpg"}])
    (first, second), rejects = listed(tmp_path)
    assert not rejects
    assert first.uri == str(tmp_path / "images/a.jpg")
    assert (first.id, first.width, first.caption) == ("7", 8, "all")
    assert first.meta == {"k": [1], "split": "train", "region_meta": [{}, {"role": "subject"}]}
    assert [r.label for r in first.regions or []] == ["0", None]
    assert [r.example for r in first.regions or []] == [False, True]
    assert (first.regions or [])[0].model_dump() == {
        "box_xyxy": (0, 1, 2, 3), "label": "0", "caption": "c", "detailed_caption": "d", "text": "t",
        "example": False,
    }  # fmt: skip
    assert [p.region_indices for p in first.phrases] == [[1], [], None]
    assert first.counts[0].count == 2
    assert (second.uri, second.regions, second.meta) == (str(tmp_path / "b.jpg"), None, None)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "bad_json"),
        (b"[" * 100_000, "bad_json"),
        (b"\xff\xfe", "bad_text"),
        (b'{"image": "a.jpg", "caption": "\\ud800"}', "bad_text"),
        (b"17", "bad_record"),
        (b'{"width": 3}', "no_image"),
        (b'{"image": {"bytes": "x"}}', "no_image"),
        (b'{"image": "a.jpg", "regions": 5}', "bad_record"),
        (b'{"image": "a.jpg", "phrases": [{"txt": 1}]}', "bad_record"),
        (b'{"image": "a.jpg", "counts": [{"text": "x", "count": -1}]}', "bad_record"),
    ],
)
def test_a_bad_line_is_a_reject_and_the_next_goes_on(line: bytes, reason: str, tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    (tmp_path / "x.jsonl").write_bytes(b'\xef\xbb\xbf"a.jpg"\n' + line + b'\n\n{"uri": "a.jpg"}\n')
    entries, rejects = listed(tmp_path / "x.jsonl")
    assert [entry.uri for entry in entries] == [str(tmp_path / "a.jpg")] * 2
    assert [(reject.reason, reject.uri) for reject in rejects] == [(reason, f"{tmp_path}/x.jsonl:2")]


@pytest.mark.parametrize("box", [None, [1, 2, 3], "x", [1, 2, 3, "y"], [1, 2, 3, None], {"a": 1}])
def test_a_box_that_is_none_costs_the_box_alone(box: Any, tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    regions = [{"box_xyxy": box}, {"box_xyxy": [0, 0, 2, 2]}]
    write_lines(tmp_path / "x.jsonl", [{"image": "a.jpg", "regions": regions}])
    (entry,), rejects = listed(tmp_path / "x.jsonl")
    assert not rejects
    assert [math.isnan(region.box_xyxy[0]) for region in entry.regions or []] == [True, False]


def test_a_text_list(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "images/b c.jpg")
    odd = os.fsencode(tmp_path) + b"/\xff.jpg"
    lines = [b"a.jpg", b"b c.jpg\r", b"", b"https://h/x.jpg?a=1#b", b"s3://b/k", odd, b"gone.jpg"]
    (tmp_path / "x.txt").write_bytes(b"\n".join(lines))
    assert [entry.uri for entry in listed(tmp_path / "x.txt")[0]] == [
        f"{tmp_path}/a.jpg", f"{tmp_path}/images/b c.jpg", "https://h/x.jpg?a=1#b", "s3://b/k",
        f"file://{tmp_path}/%FF.jpg", f"{tmp_path}/gone.jpg",
    ]  # fmt: skip


def test_a_parquet_list(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jpg")
    regions = [[{"box_xyxy": [0.0, 1.0, 2.0, 3.0], "label": "cat"}], None]
    table = pa.table({"uri": ["a.jpg", "b.jpg"], "id": [1, 2], "regions": regions, "source": ["x", "y"]})
    pq.write_table(table, tmp_path / "x.parquet")
    (first, second), _ = listed(tmp_path / "x.parquet")
    assert (first.uri, first.id, first.meta) == (f"{tmp_path}/a.jpg", "1", {"source": "x"})
    assert [region.label for region in first.regions or []] == ["cat"]
    assert (second.regions, second.id) == (None, "2")
    pq.write_table(pa.table({"picture": ["a.jpg"]}), tmp_path / "y.parquet")
    with pytest.raises(CorpusError, match=r"no column image.*it has picture"):
        listed(tmp_path / "y.parquet")


# --- COCO


def coco(**change: Any) -> dict[str, Any]:
    document = {
        "images": [
            {"id": 5, "file_name": "a.jpg", "width": 8, "height": 6, "license": 3},
            {"id": 9, "file_name": "b.jpg"},
        ],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 2, "bbox": [1, 2, 3, 4], "iscrowd": 1, "area": 12},
            {"id": 2, "image_id": 5, "category_id": 7, "bbox": [0, 0, 1, 1], "caption": "a wheel"},
        ],
        "categories": [{"id": 2, "name": "car"}],
    }
    return document | change


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


def test_coco_captions_know_nothing_of_boxes(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jpg")
    said = [{"id": n, "image_id": 5, "caption": text} for n, text in enumerate(["one", "two"])]
    (tmp_path / "captions.json").write_text(json.dumps(coco(annotations=said)))
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
        "no_image",
        "no_image",
        "unknown_image",
        "unknown_image",
    ]


# --- Pascal VOC


def voc(name: str, box: str = "<xmin>1</xmin><ymin>2</ymin><xmax>3.5</xmax><ymax>4</ymax>") -> bytes:
    return (
        f"<annotation><folder>f</folder><filename>{name}</filename>"
        "<size><width>8</width><height>6</height><depth>3</depth></size>"
        f"<object><name>cat</name><difficult>1</difficult><bndbox>{box}</bndbox></object></annotation>"
    ).encode()


@pytest.mark.parametrize("given", ["", "Annotations", "Annotations/*.xml", "Annotations/a.xml"])
def test_voc(tmp_path: Path, given: str) -> None:
    put(tmp_path, "JPEGImages/a.jpg")
    put(tmp_path, "Annotations/a.xml", data=voc("a.jpg"))
    (entry,), rejects = listed(tmp_path / given)
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


@pytest.mark.parametrize("given", ["data.yaml", ""])
@pytest.mark.parametrize("style", ["folders", "lists"])
def test_yolo(tmp_path: Path, given: str, style: str) -> None:
    put(tmp_path, "images/train/a.jpg", "images/val/b.jpg")
    put(tmp_path, "labels/train/a.txt", data=b"1 0.5 0.5 0.5 1.0\n\n0 0.1 0.1 0.3 0.1 0.2 0.4\nx y\n")
    if style == "folders":
        places = "train: images/train\nval: [images/val]"
    else:
        put(tmp_path, "train.txt", data=b"./images/train/a.jpg\n")
        put(tmp_path, "val.txt", data=b"images/val/b.jpg\n")
        places = "train: train.txt\nval: val.txt"
    (tmp_path / "data.yaml").write_text(f"path: /somebody/elses\n{places}\nnames: {{0: dog, 1: cat}}\n")
    (first, second), rejects = listed(tmp_path / given)
    assert [reject.reason for reject in rejects] == ["bad_line"]
    assert (first.box_unit, first.id, first.meta) == ("share", "a", {"split": "train"})
    boxes = [[round(v, 5) for v in region.box_xyxy] for region in first.regions or []]
    assert boxes == [[0.25, 0.0, 0.75, 1.0], [0.1, 0.1, 0.3, 0.4]]
    assert [region.label for region in first.regions or []] == ["cat", "dog"]
    assert (second.regions, second.meta) == ([], {"split": "val"})


@pytest.mark.parametrize("given", ["", "labels"])
def test_yolo_folders_without_a_yaml(tmp_path: Path, given: str) -> None:
    put(tmp_path, "images/a.png")
    put(tmp_path, "labels/a.txt", data=b"1 0.5 0.5 0.5 1.0")
    put(tmp_path, "classes.txt", data=b"dog\ncat\n")
    (entry,), _ = listed(tmp_path / given)
    assert entry.uri == f"{tmp_path}/images/a.png"
    assert [region.label for region in entry.regions or []] == ["cat"]


def test_shares_become_pixels_of_the_frame_that_is_meant() -> None:
    from fo1_data.corpus.frames import oriented_entry
    from fo1_data.corpus.images import DecodedImage
    from schemas.corpus import CorpusRegion

    image = DecodedImage("a" * 64, Image.new("RGB", (40, 60)), 40, 60, 6, (60, 40))
    entry = CorpusImage(uri="/x", regions=[CorpusRegion(box_xyxy=(0, 0, 0.5, 1))], box_unit="share")
    stored, _ = oriented_entry(entry, image, "auto")
    oriented, _ = oriented_entry(entry, image, "oriented")
    assert [region.box_xyxy for region in stored.regions or []] == [(0, 0, 40, 30)]
    assert [region.box_xyxy for region in oriented.regions or []] == [(0, 0, 20, 60)]
    assert stored.box_unit == "pixel"


# --- WebDataset


def write_tar(path: Path, members: dict[str, bytes], mode: str = "w:") -> None:
    with tarfile.open(path, mode) as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


SAMPLES = {
    "d/1.jpg": jpeg(8, 6),
    "d/1.json": json.dumps({"caption": "said", "regions": [{"box_xyxy": [0, 0, 2, 2]}], "k": 1}).encode(),
    "d/2.txt": b"a text\n",
    "d/2.cls": b"17",
    "d/2.PNG": jpeg(9, 6),
    "d/3.left.jpg": jpeg(10, 6),
    "d/3.right.jpg": jpeg(11, 6),
    "d/4.json": b"{broken",
    "d/4.jpg": jpeg(12, 6),
}


@pytest.mark.parametrize("mode", ["w:", "w:gz"])
@pytest.mark.parametrize("given", ["x-000.tar", "x-{000..001}.tar", "*.tar", ""])
def test_webdataset(tmp_path: Path, mode: str, given: str) -> None:
    write_tar(tmp_path / "x-000.tar", SAMPLES, mode)
    write_tar(tmp_path / "x-001.tar", {"é\udcff.jpg": jpeg(13, 6)}, mode)
    entries, rejects = listed(tmp_path / given)
    widths = [decode_rgb(read_bytes(entry, InputLimits()), InputLimits()).width for entry in entries]
    assert widths == [8, 9, 10, 11, 12] + ([] if given == "x-000.tar" else [13])
    assert [reject.reason for reject in rejects] == ["bad_sidecar"]
    assert [entry.id for entry in entries][:5] == ["d/1", "d/2", "d/3", "d/3", "d/4"]
    assert (entries[0].caption, len(entries[0].regions or []), entries[0].meta) == ("said", 1, {"k": 1})
    assert (entries[1].caption, entries[1].meta, entries[1].regions) == ("a text", {"cls": "17"}, None)
    assert entries[0].name == f"{tmp_path}/x-000.tar::d/1.jpg"
    assert (entries[0].inner_span is None) == (mode == "w:gz")


def test_a_broken_tar_gives_what_comes_before(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", SAMPLES)
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[:3000] + b"\xff" * 5000)
    (tmp_path / "b.tar").write_bytes(b"")
    write_tar(tmp_path / "c.tar", {"z.jpg": jpeg()})
    entries, rejects = listed(tmp_path)
    assert (entries[0].id, entries[-1].id) == ("d/1", "z")
    assert {reject.reason for reject in rejects} == {"broken_archive"}
    assert {reject.uri for reject in rejects} == {f"{tmp_path}/a.tar", f"{tmp_path}/b.tar"}


# --- listed lazily, and from afar


def test_listing_is_lazy(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with path.open("w") as file:
        for number in range(200_000):
            file.write(json.dumps({"image": f"https://h/{number}.jpg"}) + "\n")
    items = read_corpus(str(path))
    assert [next(items).uri for _ in range(3)][-1] == "https://h/2.jpg"  # type: ignore[union-attr]
    assert len(names(path, limit=5)) == 5


def test_a_limit_counts_images_and_not_rejects(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{\n"https://h/1"\n{\n"https://h/2"\n"https://h/3"\n')
    entries, rejects = listed(tmp_path / "x.jsonl", limit=2)
    assert (len(entries), len(rejects)) == (2, 2)


@pytest.fixture
def remote(object_store: Any, tmp_path: Path) -> Any:
    write_tar(tmp_path / "x.tar", SAMPLES)
    write_tar(tmp_path / "x.tar.gz", SAMPLES, "w:gz")
    table = pa.table({"image": ["a.jpg"]})
    pq.write_table(table, tmp_path / "list.parquet")
    for key, data in {
        "plain/b.jpg": jpeg(), "plain/sub/a.jpg": jpeg(), "plain/.git/x.jpg": jpeg(),
        "own/annotations.jsonl": b'{"image": "a.jpg"}\n{"image": "a.jpg"}', "own/images/a.jpg": jpeg(),
        "own/list.txt": b"images/a.jpg", "own/images/list.parquet": (tmp_path / "list.parquet").read_bytes(),
        "coco/annotations/instances_val.json": json.dumps(coco()).encode(), "coco/val/a.jpg": jpeg(),
        "coco/val/b.jpg": jpeg(), "voc/Annotations/a.xml": voc("a.jpg"), "voc/JPEGImages/a.jpg": jpeg(),
        "yolo/images/a.jpg": jpeg(), "yolo/labels/a.txt": b"0 0.5 0.5 1 1",
        "tars/x.tar": (tmp_path / "x.tar").read_bytes(),
        "zips/x.tar.gz": (tmp_path / "x.tar.gz").read_bytes(),
    }.items():  # fmt: skip
        object_store.put(key, data)
    return object_store


@pytest.mark.parametrize(
    ("given", "count"),
    [
        ("plain", 2), ("plain/", 2), ("plain/*.jpg", 1), ("plain/**/*.jpg", 2), ("own", 2),
        ("own/list.txt", 1),
        ("own/images/list.parquet", 1), ("coco/annotations/instances_val.json", 2), ("voc", 1), ("yolo", 1),
        ("tars", 5), ("zips/x.tar.gz", 5), ("plain/b.jpg", 1),
    ],
)  # fmt: skip
def test_every_form_in_an_object_store(remote: Any, given: str, count: int) -> None:
    entries, rejects = listed(f"{remote.url}/{given}")
    assert len(entries) == count
    assert {reject.reason for reject in rejects} <= {"bad_sidecar"}
    for entry in entries:
        assert decode_rgb(read_bytes(entry, InputLimits()), InputLimits()).rgb.mode == "RGB"


def test_an_object_store_without_the_corpus(remote: Any) -> None:
    for given in ("nothing", "no*thing", "nothing.jsonl"):
        with pytest.raises(CorpusError):
            listed(f"{remote.url}/{given}")


@pytest.mark.parametrize(
    ("given", "count"),
    [
        ("own/annotations.jsonl", 2),
        ("x.tar", 5),
        ("x.tar.gz", 5),
        ("x.parquet", 1),
        ("coco.json", 2),
        ("a.jpg", 1),
    ],
)
def test_forms_on_the_web(tmp_path: Path, given: str, count: int) -> None:
    write_tar(tmp_path / "x.tar", SAMPLES)
    write_tar(tmp_path / "x.tar.gz", SAMPLES, "w:gz")
    pq.write_table(pa.table({"image": ["a.jpg"]}), tmp_path / "x.parquet")
    with faulty_server.running(faulty_server.FaultyServer()) as server:
        server.files = {
            "/own/annotations.jsonl": b'{"image": "../a.jpg"}\n{"image": "images/a.jpg"}', "/a.jpg": jpeg(),
            "/own/images/a.jpg": jpeg(), "/coco.json": json.dumps(coco()).encode(), "/b.jpg": jpeg(),
        }  # fmt: skip
        for name in ("x.tar", "x.tar.gz", "x.parquet"):
            server.files[f"/{name}"] = (tmp_path / name).read_bytes()
        entries, _ = listed(f"{server.url}/{given}")
        assert len(entries) == count
        for entry in entries:
            assert decode_rgb(read_bytes(entry, InputLimits()), InputLimits()).rgb.mode == "RGB"
        with pytest.raises(CorpusError, match="404"):
            listed(f"{server.url}/none.jsonl")
