"""Images embedded in Parquet files, and the project's own datasets as corpus and as gold."""

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from layout_samples import boxes, listing_of, png, write

from fo1_data.corpus.entry_bytes import read_bytes
from fo1_data.corpus.images import InputLimits
from fo1_data.errors import InputReject
from schemas.corpus import CorpusImage

LIMITS = InputLimits()
FEATURES = {
    "image": {"_type": "Image"},
    "objects": {
        "feature": {"category": {"names": ["dog", "cat"], "_type": "ClassLabel"}, "bbox": {}},
        "_type": "Sequence",
    },
}


def write_parquet(path: Path, rows: list[dict[str, Any]], row_group_size: int = 4) -> None:
    table = pa.Table.from_pylist(rows)
    metadata = {"huggingface": json.dumps({"info": {"features": FEATURES}})}
    pq.write_table(table.replace_schema_metadata(metadata), path, row_group_size=row_group_size)


def rows_of(count: int) -> list[dict[str, Any]]:
    return [
        {
            "image": {"bytes": png(100 + number), "path": f"{number}.png"},
            "objects": {"bbox": [[20, 20, 40, 40]], "category": [1]},
            "score": float(number),
        }
        for number in range(count)
    ]


def test_embedded_images_with_boxes(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", rows_of(10))
    for corpus in (tmp_path, tmp_path / "train.parquet"):
        listing = listing_of(corpus)
        assert [entry.name for entry in listing.entries][3] == f"{tmp_path}/train.parquet::image@row3"
        assert boxes(listing.entries[3]) == [(20, 20, 60, 60)]
        assert (listing.entries[3].regions or [])[0].label == "cat"
        assert (listing.entries[3].id, listing.entries[3].meta) == ("3.png", {"score": 3.0})
        assert (listing.rejects, listing.sources[0].found) == ([], {"images": 10, "boxes": 10})
    order = list(range(10))
    random.Random(0).shuffle(order)
    for number in [*range(10), *order]:
        assert read_bytes(listing.entries[number], LIMITS) == png(100 + number)


def test_rows_without_bytes_are_found_by_path(tmp_path: Path) -> None:
    write(tmp_path, "1.png")
    rows = rows_of(3)
    rows[1]["image"]["bytes"] = None
    rows[2]["image"] = {"bytes": None, "path": None}
    write_parquet(tmp_path / "train.parquet", rows)
    listing = listing_of(tmp_path / "train.parquet")
    assert [entry.name.removeprefix(f"{tmp_path}/") for entry in listing.entries] == [
        "train.parquet::image@row0",
        "1.png",
    ]
    assert [reject.reason for reject in listing.rejects] == ["no_image"]


def test_a_binary_column_and_two_columns_of_images(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [png()], "file_name": ["a.png"]}), tmp_path / "a.parquet")
    (entry,) = listing_of(tmp_path / "a.parquet").entries
    assert (entry.inner, entry.meta, read_bytes(entry, LIMITS)) == (
        "image@row0",
        {"file_name": "a.png"},
        png(),
    )
    image = {"bytes": png(), "path": None}
    pq.write_table(pa.Table.from_pylist([{"mask": image, "image": image}]), tmp_path / "b.parquet")
    listing = listing_of(tmp_path / "b.parquet")
    assert listing.entries[0].inner == "image@row0"
    assert "mask" in listing.sources[0].notes[0]


def test_expressions_of_embedded_images_are_united(tmp_path: Path) -> None:
    image = {"bytes": png(), "path": "a.png"}
    rows = [
        {"image": image, "bbox": [20, 20, 40, 40], "answer": "the left cat"},
        {"image": image, "bbox": [70, 10, 30, 30], "answer": "the right cat"},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "refcoco.parquet")
    (entry,) = listing_of(tmp_path / "refcoco.parquet").entries
    assert boxes(entry) == [(20, 20, 60, 60), (70, 10, 100, 40)]
    assert [phrase.text for phrase in entry.phrases] == ["the left cat", "the right cat"]
    assert read_bytes(entry, LIMITS) == png()


def test_bytes_over_the_limit_and_files_that_change(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", rows_of(2))
    first, second = listing_of(tmp_path / "train.parquet").entries
    with pytest.raises(InputReject) as too_large:
        read_bytes(first, InputLimits(max_bytes=10))
    assert too_large.value.reason == "too_large"
    write_parquet(tmp_path / "other.parquet", rows_of(1))
    gone = second.model_copy(update={"uri": str(tmp_path / "other.parquet")})
    with pytest.raises(InputReject):
        read_bytes(gone, LIMITS)
    (tmp_path / "other.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputReject):
        read_bytes(gone, LIMITS)


def test_half_a_file_gives_no_traceback(tmp_path: Path) -> None:
    write_parquet(tmp_path / "whole.parquet", rows_of(6))
    data = (tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "whole.parquet").unlink()
    for name, part in (("half", data[: len(data) // 2]), ("empty", b""), ("hole", _with_hole(data))):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "train.parquet").write_bytes(part)
        listing = listing_of(folder)
        read = [_is_read(entry) for entry in listing.entries]
        assert listing.rejects or not all(read)


def _with_hole(data: bytes) -> bytes:
    return data[:60] + b"\xff" * 400 + data[460:]


def _is_read(entry: CorpusImage) -> bool:
    try:
        read_bytes(entry, LIMITS)
    except InputReject:
        return False
    return True
