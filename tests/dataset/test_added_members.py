"""Files of version 2 without the members that were added to it since are read, completed and resumed."""

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from factories import make_dataset, make_row, make_shard

from fo1_data.dataset.added_members import FIRST_VERSION_2_SCHEMA, complete
from fo1_data.dataset.exports.export import export_dataset
from fo1_data.dataset.light_rows import light_rows
from fo1_data.dataset.manifest import dump_json, find_manifest
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.shard_groups import ShardGroup
from fo1_data.dataset.validate import validate_dataset
from fo1_data.dataset.versions.compare import compare_datasets
from fo1_data.dataset.versions.merge import merge_corrections
from fo1_data.dataset.versions.publish import publish
from fo1_data.dataset.versions.remove import remove_image
from fo1_data.dataset.writer import open_run
from fo1_data.storage.store import open_store
from schemas.images import ImageRow
from schemas.parquet import IMAGE_SCHEMA
from schemas.regions import MaskRle

MASK = MaskRle(size=[48, 64], counts="P1000")


def masked_rows(folder: Path) -> list[ImageRow]:
    rows = [make_row(seed, folder=folder) for seed in range(6)]
    for row in rows[:4]:
        row.regions[0].mask_rle = MASK
        row.regions[1].track_id = "dog-1"
    return rows


def write_first_version_2(path: Path) -> dict[str, object]:
    """Write a file of rows as it was before the additions; returns what changes in its entry."""
    metadata = {b"fo1_schema_version": b"2"}
    records = pq.read_table(path).to_pylist()
    table = pa.Table.from_pylist(records, schema=FIRST_VERSION_2_SCHEMA.with_metadata(metadata))
    pq.write_table(table, path)
    data = path.read_bytes()
    return {"num_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def make_older(folder: Path, markers: str) -> None:
    """Rewrite the data files that JSON documents list, and the documents, as older code wrote them."""
    for document_path in folder.glob(markers):
        document = json.loads(document_path.read_text())
        for file in document.get("files", []):
            if file.pop("schema_revision", 0):
                file.update(write_first_version_2(folder / file["path"]))
        document.pop("crc32", None)
        document_path.write_bytes(dump_json(document))


@pytest.fixture
def older(tmp_path: Path) -> Path:
    make_dataset(tmp_path / "older", [make_row(seed, folder=tmp_path / "images") for seed in range(6)])
    make_older(tmp_path / "older", "manifest.json")
    return tmp_path / "older"


def schemas_of(folder: Path) -> list[bool]:
    """For each data file, whether it has the columns of today and says so."""
    files = open_dataset(str(folder)).data_files()
    return [
        pq.read_schema(folder / file.path).equals(IMAGE_SCHEMA) and file.schema_revision == 1
        for file in files
    ]


def test_masks_and_tracks_are_stored_and_checked(tmp_path: Path) -> None:
    rows = masked_rows(tmp_path / "images")
    make_dataset(tmp_path / "d", rows)
    dataset = open_dataset(str(tmp_path / "d"))
    assert list(dataset.rows()) == rows
    assert [row.regions for row in light_rows(dataset)] == [row.regions for row in rows]
    assert validate_dataset(str(tmp_path / "d")) == []
    loaded = load_dataset(str(tmp_path / "d"), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded[0]["regions"][0]["mask_rle"] == MASK.model_dump()
    assert [region["track_id"] for region in loaded[0]["regions"]] == [None, "dog-1"]
    rows[1].regions[0].mask_rle = MaskRle(size=[64, 48], counts="P1000")
    make_dataset(tmp_path / "bad", rows)
    (problem,) = validate_dataset(str(tmp_path / "bad"))
    assert "mask is not of the image's size: [64, 48], not [48, 64]" in problem


def test_older_files_are_read_with_nulls(older: Path, tmp_path: Path) -> None:
    rows = [make_row(seed, folder=tmp_path / "images") for seed in range(6)]
    dataset = open_dataset(str(older))
    assert list(dataset.rows()) == list(light_rows(dataset)) == rows
    assert validate_dataset(str(older)) == []
    manifest = find_manifest(open_store(str(older)))
    assert manifest is not None
    assert dump_json(manifest.model_dump(mode="json")) == (older / "manifest.json").read_bytes()
    assert not any(schemas_of(older))
    assert len(load_dataset(str(older), split="train", cache_dir=str(tmp_path / "cache"))) == 6
    make_dataset(tmp_path / "today", rows)
    assert compare_datasets(str(older), str(tmp_path / "today")).is_empty
    export_dataset(str(older), "coco", str(tmp_path / "coco"))


def test_what_is_made_from_older_files_has_the_columns_of_today(older: Path, tmp_path: Path) -> None:
    merge_corrections(str(older), [], str(tmp_path / "merged"))
    publish(str(older), str(tmp_path / "published"))
    first = next(open_dataset(str(older)).rows()).image_id
    remove_image(str(older), first, str(tmp_path / "removed"))
    for name in ("merged", "published", "removed"):
        assert all(schemas_of(tmp_path / name))
        assert validate_dataset(str(tmp_path / name)) == []


@pytest.mark.parametrize("gathers", [False, True])
def test_a_run_begun_before_the_additions_is_resumed(tmp_path: Path, gathers: bool) -> None:
    rows, out = masked_rows(tmp_path / "images"), tmp_path / "d"
    fingerprint = {"model_sha256": "ab" * 32}
    run = open_run(str(out), fingerprint, {"corpus": "made-up"})
    run.write_shard(make_shard(0), rows[4:], [], "t0")
    make_older(out, ".run/**/*.json")
    run = open_run(str(out), fingerprint, {"corpus": "made-up"})
    report = run.write_shard(make_shard(1), rows[:4], [], "t1")
    if gathers:
        run.gather(ShardGroup(0, (make_shard(0).shard_id, report.shard_id)), "g")
    run.seal("made-up", None, "fo1-tiny")
    assert all(schemas_of(out))
    assert list(open_dataset(str(out)).rows()) == [*rows[4:], *rows[:4]]
    assert validate_dataset(str(out)) == []


def test_complete_rows_stay_as_they_are() -> None:
    table = pa.Table.from_pylist([], schema=IMAGE_SCHEMA)
    assert complete(table).schema.equals(IMAGE_SCHEMA, check_metadata=True)
    sliced = pa.Table.from_pylist(
        [{"image_id": str(number), "regions": [{"index": number}]} for number in range(4)],
        schema=FIRST_VERSION_2_SCHEMA,
    ).slice(2)
    assert [row["regions"][0]["index"] for row in complete(sliced).to_pylist()] == [2, 3]
