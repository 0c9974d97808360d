"""Found = attached + rejected for every form, over shuffled, doubled, split and half-empty inputs.

Each test writes a corpus from drawn parts, counts them itself, and compares with the account of the listing.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from corpus_samples import write_tar
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fo1_data.corpus.readers import load_listing
from schemas.sources import ContentKind

NAMES = ["a.png", "b.png", "sub/a.png", "none.png"]
ON_DISK = NAMES[:3]
numbers = st.sampled_from([0, 1, 5, 8, float("nan"), "x", None])
boxes = st.lists(numbers, min_size=3, max_size=5)
quick = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@contextmanager
def folder() -> Iterator[Path]:
    """A folder with the images of `ON_DISK`, removed at the end."""
    path = Path(tempfile.mkdtemp())
    try:
        for name in ON_DISK:
            (path / name).parent.mkdir(exist_ok=True)
            (path / name).write_bytes(b"not opened")
        yield path
    finally:
        shutil.rmtree(path)


def account(corpus: Path | str) -> tuple[dict[str, int], dict[str, int]]:
    """What was found in all sources, and what the entries hold of it. The balance is checked on the way."""
    listing = load_listing(str(corpus))
    assert "unaccounted" not in [reject.reason for reject in listing.rejects]
    found: dict[str, int] = {}
    for source in listing.sources:
        for kind, count in source.found.items():
            assert count == source.attached.get(kind, 0) + source.rejected.get(kind, 0)
            found[kind] = found.get(kind, 0) + count
    if any(source.rejected for source in listing.sources):
        assert listing.rejects
    names = [entry.name for entry in listing.entries]
    assert len(names) == len(set(names))
    attached = {
        ContentKind.BOXES: sum(source.attached.get(ContentKind.BOXES, 0) for source in listing.sources),
        "regions": sum(len(entry.regions or []) for entry in listing.entries),
    }
    # Equal boxes of two places are one region; no region comes from nowhere.
    assert attached["regions"] <= attached[ContentKind.BOXES]
    return found, attached


regions = st.fixed_dictionaries(
    {"box_xyxy": boxes},
    optional={
        "label": st.sampled_from(["cat", 3, ""]),
        "caption": st.sampled_from(["c", "", None]),
        "text": st.sampled_from(["t", ""]),
    },
)
indices = st.none() | st.lists(st.integers(0, 3), max_size=2)
records = st.fixed_dictionaries(
    {"image": st.sampled_from([*NAMES, "", None])},
    optional={
        "regions": st.none() | st.lists(regions | st.just(7), max_size=3),
        "width": st.sampled_from([8, 16, "x"]),
        "height": st.sampled_from([8, 4]),
        "phrases": st.lists(
            st.fixed_dictionaries({"text": st.sampled_from(["p", "q"]), "region_indices": indices}),
            max_size=2,
        ),
        "counts": st.lists(
            st.fixed_dictionaries({"text": st.just("p"), "count": st.sampled_from([1, 2, -1])}), max_size=2
        ),
        "caption": st.sampled_from(["one", "two", "", ["one", "two"]]),
        "meta": st.sampled_from([{"captions": ["one", "three"]}, {"captions": 4}, 5, None]),
    },
)


def num_boxes(given_records: list[Any]) -> int:
    return sum(len(record.get("regions") or []) for record in given_records if isinstance(record, dict))


@quick
@given(st.lists(records | st.sampled_from([3, "a.png"]), max_size=5))
def test_own_records(lines: list[Any]) -> None:
    with folder() as path:
        (path / "list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [*lines, "b.png"]))
        found, _ = account(path / "list.jsonl")
    assert found[ContentKind.IMAGES] == len(lines) + 1
    assert found.get(ContentKind.BOXES, 0) == num_boxes(lines)
    phrases = sum(len(line.get("phrases", [])) for line in lines if isinstance(line, dict))
    assert found.get(ContentKind.PHRASES, 0) == phrases


@quick
@given(st.lists(st.sampled_from([*NAMES, "", "https://h/x.png"]), max_size=5))
def test_text_lists(lines: list[str]) -> None:
    with folder() as path:
        (path / "list.txt").write_text("\n".join([*lines, "b.png"]))
        found, _ = account(path / "list.txt")
    assert found == {ContentKind.IMAGES: sum(bool(line) for line in lines) + 1}


@quick
@given(st.lists(st.tuples(st.sampled_from([*NAMES, None]), st.integers(0, 3)), min_size=1, max_size=5))
def test_parquet_lists(rows: list[tuple[str | None, int]]) -> None:
    table = {
        "image": [name for name, _ in rows],
        "regions": [[{"box_xyxy": [0.0, 0.0, 1.0 + n, 2.0]} for n in range(num)] for _, num in rows],
    }
    with folder() as path:
        pq.write_table(pa.table(table, schema=_SCHEMA), path / "list.parquet")
        found, _ = account(path / "list.parquet")
    assert found[ContentKind.IMAGES] == len(rows)
    assert found.get(ContentKind.BOXES, 0) == sum(num for _, num in rows)


_SCHEMA = pa.schema(
    {"image": pa.string(), "regions": pa.list_(pa.struct({"box_xyxy": pa.list_(pa.float64())}))}
)

ids = st.sampled_from([1, 2, "1", 3.0, None, 9])
annotations = st.fixed_dictionaries(
    {"image_id": ids},
    optional={
        "id": st.integers(0, 4),
        "category_id": st.sampled_from([1, "1", 2]),
        "bbox": boxes | st.just([]) | st.none(),
        "segmentation": st.sampled_from(
            [[[0, 0, 4, 0, 4, 4]], [], {"size": [4, 4], "counts": [1, 3, 12]}, {"size": [4, 4]}, [[1]]]
        ),
        "caption": st.sampled_from(["a cat", ""]),
    },
)
images = st.fixed_dictionaries(
    {"id": ids, "file_name": st.sampled_from(NAMES)}, optional={"width": st.sampled_from([8, 16])}
)


@quick
@given(
    st.lists(st.lists(images | st.just(3) | st.just({"id": 2}), max_size=4), min_size=1, max_size=2),
    st.lists(annotations | st.just("x"), max_size=6),
    st.booleans(),
)
def test_coco(parts: list[list[Any]], drawn: list[Any], has_refs: bool) -> None:
    """Also split over two files, each with every annotation."""
    with folder() as path:
        for number, part in enumerate(parts):
            document = {"images": [*part, {"id": 77, "file_name": "b.png"}], "annotations": drawn}
            document["categories"] = [{"id": 1, "name": "cat"}]
            if has_refs:
                document["refs"] = [{"image_id": 1, "ann_id": 2, "sentences": [{"sent": "it"}]}, 3]
            (path / f"{number}.json").write_text(json.dumps(document))
        found, _ = account(path / "*.json")
    boxed = [
        item
        for item in drawn
        if not isinstance(item, dict) or "bbox" in item or bool(item.get("segmentation"))
    ]
    assert found.get(ContentKind.BOXES, 0) == len(boxed) * len(parts)
    assert found[ContentKind.IMAGES] == sum(len(part) + 1 for part in parts)


lines = st.lists(
    st.sampled_from(
        [
            "0 0.5 0.5 0.2 0.2",
            "1 0.5 0.5 0.2 0.2 0.9",
            "0 0.5 0.5 0.2 0.2 0.9 17",
            "0 0.1 0.1 0.4 0.1 0.4 0.4",
            "0 320 240 20 20",
            "x y",
            "0 0.5",
            "",
        ]
    ),
    max_size=4,
)


@quick
@given(st.dictionaries(st.sampled_from(["a", "b", "sub/a", "gone", "sub/gone"]), lines), st.booleans())
def test_yolo(labels: dict[str, list[str]], has_yaml: bool) -> None:
    with folder() as top:
        path = top / "set"
        shutil.copytree(top / "sub", path / "images" / "sub")
        for name in ON_DISK[:2]:
            shutil.copy(top / name, path / "images" / name)
        for name, text in labels.items():
            (path / "labels" / name).parent.mkdir(parents=True, exist_ok=True)
            (path / "labels" / f"{name}.txt").write_text("\n".join(text))
        (path / "labels").mkdir(exist_ok=True)
        (path / "labels" / "classes.txt").write_text("cat\n")
        if has_yaml:
            (path / "data.yaml").write_text("train: images\nval: gone\ntest: images\nnames: [cat]")
        found, _ = account(path)
    of_images = {name: text for name, text in labels.items() if "gone" not in name}
    orphans = {name: text for name, text in labels.items() if "gone" in name}
    assert found[ContentKind.IMAGES] == 3
    assert found.get(ContentKind.SIDECARS, 0) == len(of_images) + len(orphans)
    assert found.get(ContentKind.BOXES, 0) == sum(bool(line) for text in labels.values() for line in text)


@quick
@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "c", "d"]),
        st.tuples(st.sampled_from(["a.png", "b.png", "none.png", "", "a"]), st.integers(0, 3)) | st.none(),
        min_size=1,
    ),
    st.booleans(),
)
def test_voc(files: dict[str, tuple[str, int] | None], is_apart: bool) -> None:
    """Stale and missing file names, broken XML, images without XML; beside the images or apart."""
    box = "<object><name>cat</name><bndbox><xmin>1</xmin></bndbox></object>"
    with folder() as top:
        path = top / "set"
        (path / "Annotations").mkdir(parents=True)
        (path / "JPEGImages").mkdir()
        for name in ON_DISK[:2]:
            shutil.copy(top / name, path / ("JPEGImages" if is_apart else "Annotations") / name)
        for name, content in files.items():
            text = "<annotation>"
            if content is not None:
                text = f"<annotation><filename>{content[0]}</filename>{box * content[1]}</annotation>"
            (path / "Annotations" / f"{name}.xml").write_text(text)
        found, _ = account(path)
        uris = [Path(entry.uri).name for entry in load_listing(str(path)).entries]
    assert found.get(ContentKind.BOXES, 0) == sum(content[1] for content in files.values() if content)
    assert found[ContentKind.SIDECARS] == len(files)
    assert {"a.png", "b.png"} <= set(uris)


members = st.lists(
    st.tuples(
        st.sampled_from(["1", "2", "d/1"]),
        st.sampled_from(["jpg", "json", "txt", "cls", "left.jpg"]),
        records,
    ),
    min_size=1,
    max_size=7,
)


@quick
@given(members, st.booleans())
def test_webdataset(drawn: list[tuple[str, str, dict[str, Any]]], is_broken: bool) -> None:
    """Sidecars before, after and far from their image, doubled, or without one."""
    files: list[tuple[str, bytes]] = []
    for key, kind, record in drawn:
        text = json.dumps(record) if kind == "json" else "a text"
        files.append((f"{key}.{kind}", (text[:-1] if is_broken else text).encode()))
    with folder() as path:
        write_tar(path / "x.tar", [*files, ("z.jpg", b"")])
        found, _ = account(path / "x.tar")
    sidecars = [name for name, _ in files if not name.endswith("jpg")]
    assert found.get(ContentKind.SIDECARS, 0) == len(sidecars)


referring = st.fixed_dictionaries(
    {
        "image": st.sampled_from([*NAMES, None]),
        "bbox": boxes,
        "sent": st.sampled_from(["cat", "dog", ["cat", "cat", "dog"], ""]),
    }
)
humanref = st.fixed_dictionaries(
    {
        "image_name": st.sampled_from(NAMES),
        "referring": st.sampled_from(["left", "right"]),
        "answer_boxes": st.lists(boxes, max_size=2),
        "candidate_boxes": st.lists(boxes, max_size=2),
    }
)
counting = st.fixed_dictionaries(
    {
        "image": st.sampled_from(NAMES),
        "count": st.sampled_from([0, 3, 3 * 10**9]),
        "label": st.sampled_from(["ant", "bee"]),
    }
)


@quick
@given(st.lists(referring | humanref | counting | st.just(3), max_size=5))
def test_benchmark_files(drawn: list[Any]) -> None:
    first = {"image": "a.png", "bbox": [1, 2, 3, 4], "sent": "it"}
    with folder() as path:
        (path / "refs.json").write_text(json.dumps([first, *drawn]))
        found, _ = account(path / "refs.json")
    assert found[ContentKind.IMAGES] == len(drawn) + 1


@quick
@given(st.lists(st.sampled_from(["x/a.png", "x/b", "y.txt", "x/z/c.png"]), unique=True))
def test_plain_folders(names: list[str]) -> None:
    with folder() as path:
        for name in names:
            (path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
            (path / "set" / name).write_bytes(b"")
        (path / "set").mkdir(exist_ok=True)
        (path / "set" / "last.png").write_bytes(b"")
        found, _ = account(path / "set")
    assert found == {ContentKind.IMAGES: len(names) + 1}
