"""What people changed, as pairs and negatives: read by `datasets` and true to the last word."""

import json

import pytest
from factories import make_count, make_dataset, make_row

from fo1_data.dataset.export import export_dataset
from fo1_data.dataset.merge import merge_corrections
from fo1_data.errors import DatasetError
from schemas.corrections import Correction


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def merged(tmp_path):
    row = make_row(3, num_regions=3, folder=tmp_path / "images")
    row = row.model_copy(update={"counts": [make_count(row.regions)]})
    make_dataset(tmp_path / "v1", [row, make_row(4, folder=tmp_path / "images")])
    ids = [region.region_id for region in row.regions]
    caption = {"region_id": ids[0], "kind": "brief_caption"}
    changes = [
        {"action": "recaptioned", **caption, "after": {"text": "a first word"}, "at": "2026-01-01"},
        {"action": "recaptioned", **caption, "after": {"text": "a whale"}},
        {"action": "deleted", "region_id": ids[1]},
        {"action": "moved", "region_id": ids[2], "after": {"box_xyxy": (1, 2, 30, 31)}},
        {"action": "added", "after": {"box_xyxy": (5, 5, 9, 9)}},
        {"action": "regrounded", "subject": "a red square", "after": {"region_ids": [ids[2]]}},
        {"action": "recounted", "subject": "shape", "after": {"count": 9}},
    ]
    given = [Correction(**{"image_id": row.image_id, "at": "2026-02-01", **one}) for one in changes]
    merge_corrections(str(tmp_path / "v1"), given, str(tmp_path / "v2"))
    return tmp_path, row


def test_pairs_and_negatives_of_what_was_changed(merged):
    folder, row = merged
    written = export_dataset(str(folder / "v2"), "preferences", str(folder / "out"))
    pairs = {one["kind"]: one for one in lines(folder / "out" / "preferences.jsonl")}
    assert written == {"preferences": 3, "hard_negatives": 5, "images": 1}
    caption = pairs["brief_caption"]
    assert caption["chosen"][0]["content"] == "a whale"
    assert caption["rejected"][0]["content"] == row.regions[0].brief_caption
    assert pairs["ground"]["chosen"][0]["content"] == "[1, 2, 30, 31]"
    assert (pairs["count"]["chosen"][0]["content"], pairs["count"]["rejected"][0]["content"]) == ("9", "3")
    negatives = lines(folder / "out" / "hard_negatives.jsonl")
    kinds = sorted(one["kind"] for one in negatives)
    assert kinds == ["false_region", "missed", "moved", "wrong_phrase", "wrong_text"]
    assert all((folder / "out" / one["image"]).is_file() for one in negatives)
    false = next(one for one in negatives if one["kind"] == "false_region")
    assert tuple(false["box_xyxy"]) == row.regions[1].box_xyxy


def test_pairs_load_with_datasets(merged):
    datasets = pytest.importorskip("datasets")
    folder, _ = merged
    export_dataset(str(folder / "v2"), "preferences", str(folder / "out"))
    loaded = datasets.load_dataset(
        "json",
        data_files=str(folder / "out" / "preferences.jsonl"),
        cache_dir=str(folder / "cache"),
        split="train",
    )
    assert loaded.num_rows == 3
    assert {"prompt", "chosen", "rejected", "images"} <= set(loaded.column_names)


def test_a_dataset_without_corrections_has_none_to_export(tmp_path):
    make_dataset(tmp_path / "v1", [make_row(1)])
    with pytest.raises(DatasetError, match="holds no corrections"):
        export_dataset(str(tmp_path / "v1"), "preferences", str(tmp_path / "out"))
