"""Lazy listing, and every form in an object store and on the web."""

import json
from pathlib import Path
from typing import Any

import faulty_server
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus_samples import SAMPLES, coco, jpeg, listed, names, voc, write_tar

from fo1_data.corpus.entry_bytes import read_bytes
from fo1_data.corpus.images import InputLimits, decode_rgb
from fo1_data.corpus.listing import PlainImage
from fo1_data.corpus.listing_progress import ListingProgress
from fo1_data.corpus.readers import read_items
from fo1_data.errors import CorpusError


def test_listing_is_lazy(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with path.open("w") as file:
        for number in range(200_000):
            file.write(json.dumps({"image": f"https://h/{number}.jpg"}) + "\n")
    pieces = (item for item in read_items(str(path), ListingProgress()) if isinstance(item, PlainImage))
    assert [next(pieces).uri for _ in range(3)][-1] == "https://h/2.jpg"
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
    ("place", "count"),
    [
        ("plain", 2), ("plain/", 2), ("plain/*.jpg", 1), ("plain/**/*.jpg", 2), ("own", 1),
        ("own/list.txt", 1),
        ("own/images/list.parquet", 1), ("coco/annotations/instances_val.json", 2), ("voc", 1), ("yolo", 1),
        ("tars", 5), ("zips/x.tar.gz", 5), ("plain/b.jpg", 1),
    ],
)  # fmt: skip
def test_every_form_in_an_object_store(remote: Any, place: str, count: int) -> None:
    entries, rejects = listed(f"{remote.url}/{place}")
    assert len(entries) == count
    assert {reject.reason for reject in rejects} <= {"bad_sidecar"}
    for entry in entries:
        assert decode_rgb(read_bytes(entry, InputLimits()), InputLimits()).rgb.mode == "RGB"


def test_an_object_store_without_the_corpus(remote: Any) -> None:
    for place in ("nothing", "no*thing", "nothing.jsonl"):
        with pytest.raises(CorpusError):
            listed(f"{remote.url}/{place}")


@pytest.mark.parametrize(
    ("place", "count"),
    [
        ("own/annotations.jsonl", 2),
        ("x.tar", 5),
        ("x.tar.gz", 5),
        ("x.parquet", 1),
        ("coco.json", 2),
        ("a.jpg", 1),
    ],
)
def test_forms_on_the_web(tmp_path: Path, place: str, count: int) -> None:
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
        entries, _ = listed(f"{server.url}/{place}")
        assert len(entries) == count
        for entry in entries:
            assert decode_rgb(read_bytes(entry, InputLimits()), InputLimits()).rgb.mode == "RGB"
        with pytest.raises(CorpusError, match="404"):
            listed(f"{server.url}/none.jsonl")
