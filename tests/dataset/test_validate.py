"""Validation finds what is damaged, missing or senseless, and says where."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from factories import make_answer, make_count, make_dataset, make_reject, make_row
from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.row_problems import row_problems
from fo1_data.dataset.stored_rows import write_rows
from fo1_data.dataset.validate import validate_dataset
from fo1_data.errors import DatasetError
from schemas.images import ImageRow
from schemas.labels import Decision, Signal


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    make_dataset(tmp_path / "d", rejects=[make_reject()])
    return tmp_path / "d"


def test_a_sound_dataset_has_no_problems(dataset: Path) -> None:
    assert validate_dataset(str(dataset)) == []


@settings(max_examples=25, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), which=st.integers(0, 2))
def test_any_flipped_bit_is_found(
    tmp_path_factory: pytest.TempPathFactory, place: float, bit: int, which: int
) -> None:
    out = tmp_path_factory.mktemp("flip") / "d"
    manifest = make_dataset(out, [make_row(0), make_row(1)], [make_reject()], rows_a_shard=1)
    path = out / manifest.files[which].path
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    path.write_bytes(data)
    problems = validate_dataset(str(out))
    assert any(problem.startswith(f"{manifest.files[which].path}: its SHA-256") for problem in problems)


def test_missing_short_and_unlisted_files_are_found(dataset: Path) -> None:
    (dataset / "data" / "train-00000.parquet").unlink()
    other = dataset / "data" / "train-00001.parquet"
    (dataset / "data" / "train-00007.parquet").write_bytes(other.read_bytes())
    other.write_bytes(other.read_bytes()[:-1])
    (dataset / "rejects.parquet").unlink()
    problems = "\n".join(validate_dataset(str(dataset)))
    for said in (
        "data/train-00000.parquet: missing",
        "data/train-00001.parquet: ",
        "data/train-00007.parquet: not listed",
        "rejects.parquet: missing",
    ):
        assert said in problems


def _set(**changes: object) -> Callable[[ImageRow], ImageRow]:
    return lambda row: row.model_copy(update=changes)


def _region(**changes: object) -> Callable[[ImageRow], ImageRow]:
    def apply(row: ImageRow) -> ImageRow:
        regions = [row.regions[0].model_copy(update=changes), *row.regions[1:]]
        return row.model_copy(update={"regions": regions})

    return apply


def _dangling(row: ImageRow) -> ImageRow:
    return row.model_copy(update={"counts": [make_count(make_row(5).regions)]})


def _dangling_answer(row: ImageRow) -> ImageRow:
    return row.model_copy(update={"answers": [make_answer("nobody/1-2-3-4")]})


def _signal(row: ImageRow) -> ImageRow:
    label = (
        row.regions[0]
        .labels[0]
        .model_copy(update={"signals": [Signal(name="margin", value=float("nan"))], "confidence": 1.5})
    )
    return _region(labels=[label])(row)


BREAKS: dict[str, Callable[[ImageRow], ImageRow]] = {
    "lies outside its image": _region(box_xyxy=(0.0, 0.0, 64.5, 10.0)),
    "has no area": _region(box_xyxy=(10.0, 5.0, 10.0, 9.0)),
    "is not finite": _region(box_xyxy=(0.0, float("nan"), 1.0, 2.0)),
    "is not that of its image and box": _region(box_xyxy=(0.0, 0.0, 7.0, 7.0)),
    "its index is 3": _region(index=3),
    "objectness": _region(objectness=1.5),
    "count 'shape' names region": _dangling,
    "answer 'What colour?' names region": _dangling_answer,
    "decision is accept, the strictest of its parts is null": _set(decision=Decision.ACCEPT),
    "decision is review, the strictest of its labels": _region(decision=Decision.REVIEW),
    "signal margin": _signal,
    "confidence 1.5": _signal,
    "uri is not the first": _set(uris=["elsewhere"]),
    "no frame": _set(width=0),
    "is no SHA-256": _set(image_id="abc"),
    "its split is 'test'": _set(split="test"),
    "the embedded bytes are not": _set(image_id="a" * 64),
}


@pytest.mark.parametrize("problem", BREAKS)
def test_a_senseless_row_is_found(problem: str) -> None:
    row = make_row(3, embed=True)
    assert list(row_problems(row, "train")) == []
    found = list(row_problems(BREAKS[problem](row), "train"))
    assert any(problem in line for line in found)


def test_a_table_of_rejects_that_holds_no_rejects_is_found(dataset: Path) -> None:
    path = dataset / "rejects.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["message"]), path)
    data = path.read_bytes()
    manifest = json.loads((dataset / "manifest.json").read_text())
    (file,) = (file for file in manifest["files"] if file["path"] == path.name)
    file |= {"sha256": hashlib.sha256(data).hexdigest(), "num_bytes": len(data)}
    (dataset / "manifest.json").write_text(json.dumps(manifest))
    (problem,) = validate_dataset(str(dataset))
    assert "rejects.parquet: cannot be read" in problem


def test_a_box_moved_out_of_its_image_is_found_in_the_file(dataset: Path) -> None:
    opened = open_dataset(str(dataset))
    file = opened.data_files()[1]
    rows = list(opened.rows_of(file))
    rows[1] = _region(box_xyxy=(0.0, 0.0, 99.0, 9.0))(rows[1])
    written = write_rows(opened.store, file.path, rows)
    manifest = json.loads((dataset / "manifest.json").read_text())
    manifest["files"][1] = written.model_dump()
    (dataset / "manifest.json").write_text(json.dumps(manifest))
    problems = validate_dataset(str(dataset))
    assert any(f"{file.path}: image {rows[1].image_id[:16]}: region 0: box" in line for line in problems)


def test_an_image_in_two_files_and_wrong_counts_are_found(dataset: Path) -> None:
    opened = open_dataset(str(dataset))
    first, second = opened.data_files()
    rows = [*opened.rows_of(second), next(iter(opened.rows_of(first)))]
    manifest = json.loads((dataset / "manifest.json").read_text())
    manifest["files"][1] = write_rows(opened.store, second.path, rows).model_dump()
    (dataset / "manifest.json").write_text(json.dumps(manifest))
    problems = validate_dataset(str(dataset))
    assert any(f"also a row of {first.path}" in line for line in problems)
    assert "manifest.json: counts.images is 6, the files hold 7" in problems


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is no manifest"),
        ('{"schema_version": 99}', "newer"),
        ('{"schema_version": "a\\nb"}', "newer"),
        ('{"schema_version": [1, 2]}', "newer"),
        ('{"schema_version": 1}', "name"),
        ("[]", "is no manifest"),
    ],
)
def test_a_broken_manifest_is_one_line(dataset: Path, content: str, said: str) -> None:
    (dataset / "manifest.json").write_text(content)
    with pytest.raises(DatasetError, match=said) as refusal:
        open_dataset(str(dataset))
    assert "\n" not in str(refusal.value)
