"""Folders, globs, single files, `annotations.jsonl` and lists: what is kept, rejected, refused."""

import math
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus_samples import jpeg, listed, names, put, write_lines

from fo1_data.corpus.entry_bytes import read_bytes
from fo1_data.corpus.images import InputLimits, decode_rgb
from fo1_data.errors import CorpusError, InputReject
from schemas.corpus import CorpusImage


def test_a_folder_is_every_file_in_it(tmp_path: Path) -> None:
    put(tmp_path, "b.jpg", "a.JPG", "noname", ".hidden.jpg", "sub/deep/c.jpg", "sub/a.txt", ".git/x.jpg")
    assert names(tmp_path) == [".hidden.jpg", "a.JPG", "b.jpg", "noname", "a.txt", "c.jpg"]
    assert names(f"file://{tmp_path}", limit=2) == [".hidden.jpg", "a.JPG"]


def test_every_file_of_a_folder_is_an_image_or_a_reject(tmp_path: Path) -> None:
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
        except InputReject as reject:
            outcome[entry.uri.rpartition("/")[2]] = reject.reason
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
        ("x.csv", b"a,b", "none names an image"),
        ("x.json", b"[1", "is not JSON"),
        ("x.json", b'{"info": 1}', "looked for the keys images"),
        ("x.parquet", b"PAR1", "is not a Parquet"),
        ("x.yaml", b"names: [a]", "looked for the keys train"),
        ("x.yaml", b"a: [", "is not YAML"),
        ("x.yaml", b"train: none\nnames: [a]", "which is not in"),
        ("x.txt", b"\n\n", "names no image"),
        ("x.jsonl", b"", "names no image"),
        ("x.zip", b"PK", "an archive, which is not read: unpack it"),
    ],
)
def test_what_is_not_a_corpus_is_named(
    name: str, content: bytes | None, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=message) as caught:
        listed(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="names no image"):
        listed(tmp_path)


def test_annotations_keep_all_fields(tmp_path: Path) -> None:
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
    ],
)
def test_a_bad_line_is_a_reject_and_the_next_is_read(line: bytes, reason: str, tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    (tmp_path / "x.jsonl").write_bytes(b'\xef\xbb\xbf"a.jpg"\n' + line + b'\n\n{"uri": "b.jpg"}\n')
    entries, rejects = listed(tmp_path / "x.jsonl")
    assert [entry.uri for entry in entries] == [str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg")]
    assert [(reject.reason, reject.uri) for reject in rejects] == [(reason, f"{tmp_path}/x.jsonl:2")]


@pytest.mark.parametrize("box", [None, [1, 2, 3], "x", [1, 2, 3, "y"], [1, 2, 3, None], {"a": 1}])
def test_an_invalid_box_rejects_only_the_box(box: Any, tmp_path: Path) -> None:
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
