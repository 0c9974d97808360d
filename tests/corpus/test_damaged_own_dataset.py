"""Datasets of the project whose manifest or rows are damaged: what can be read is kept, the rest is named."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from factories import make_answer, make_dataset, make_label, make_row
from layout_samples import listing_of

from fo1_data.corpus.forms.own_dataset import load_own_manifest, read_own_dataset
from fo1_data.dataset.reader import open_dataset
from fo1_data.errors import CorpusError, DatasetError
from schemas.labels import LabelKind, Source
from schemas.sources import ContentKind

FILE = "data/train-00000.parquet"
MINE = make_label(kind=LabelKind.ASK, text="blue", source=Source.HUMAN)


def made(folder: Path) -> Path:
    """One row: what a person said of it are two answers and a phrase."""
    row = make_row(1, boxes=[(2.0, 2.0, 12.0, 12.0), (20.0, 4.0, 40.0, 24.0)], folder=folder / "images")
    answers = [make_answer(row.regions[0].region_id), make_answer()]
    phrase = row.groundings[0].model_copy(update={"label": MINE})
    row = row.model_copy(
        update={
            "answers": [part.model_copy(update={"label": MINE}) for part in answers],
            "groundings": [phrase],
        }
    )
    make_dataset(folder / "made", [row])
    return folder / "made"


def rewritten(dataset: Path, column: str, value: Any) -> None:
    """The rows as a program without our schema writes them again."""
    path = dataset / FILE
    rows = pq.read_table(path).to_pylist()
    rows[0][column] = value(rows[0][column])
    pq.write_table(pa.Table.from_pylist(rows), path)


def with_manifest(dataset: Path, **fields: Any) -> Path:
    path = dataset / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return dataset


@pytest.mark.parametrize(
    "files",
    [
        None,
        7,
        "data",
        [7],
        [{}],
        [{"path": None}],
        [{"path": 3}],
        [{"path": "data/../../x.parquet"}],
        [{"path": "data/\ud800.parquet"}],
    ],
)
def test_a_list_of_files_that_is_no_list_of_files_is_refused(tmp_path: Path, files: Any) -> None:
    dataset = with_manifest(made(tmp_path), files=files)
    with pytest.raises(CorpusError, match="list of files cannot be read"):
        listing_of(dataset)
    with pytest.raises(DatasetError, match="is no manifest"):
        open_dataset(str(dataset))


@pytest.mark.parametrize("labels", [5, True, {"a": 1}, "grounded_caption"])
def test_labels_of_a_configuration_that_are_no_list_are_none(tmp_path: Path, labels: Any) -> None:
    dataset = with_manifest(made(tmp_path), config={"labels": labels})
    assert len(listing_of(dataset).entries) == 1


def test_a_part_of_the_list_of_files_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    dataset = with_manifest(made(tmp_path), files=[{"path": "manifest/files-1.jsonl"}])
    (dataset / "manifest").mkdir()
    (dataset / "manifest/files-1.jsonl").write_text("[" * 100_000)
    with pytest.raises(CorpusError, match="list of files cannot be read"):
        listing_of(dataset)


@pytest.mark.parametrize("bad", [{"answer": None}, {"question": None}, {"region_id": "ff" * 8}])
def test_a_bad_answer_costs_only_itself(tmp_path: Path, bad: dict[str, Any]) -> None:
    dataset = made(tmp_path)
    rewritten(dataset, "answers", lambda parts: [{**parts[0], **bad}, parts[1]])
    listing = listing_of(dataset)
    (entry,) = listing.entries
    assert [(answer.question, answer.region_index) for answer in entry.answers] == [("What colour?", None)]
    assert [phrase.region_indices for phrase in entry.phrases] == [[0]]
    (reject,) = listing.rejects
    assert reject.reason == ("unknown_region" if "region_id" in bad else "bad_part")
    (source,) = listing.sources
    assert source.rejected == {ContentKind.ANSWERS: 1}


def test_a_phrase_of_a_region_that_the_row_lacks_is_named(tmp_path: Path) -> None:
    dataset = made(tmp_path)
    rewritten(dataset, "groundings", lambda parts: [{**parts[0], "region_ids": ["ff" * 8]}])
    listing = listing_of(dataset)
    assert [reject.reason for reject in listing.rejects] == ["unknown_region"]
    assert (listing.entries[0].phrases, len(listing.entries[0].answers)) == ([], 2)


@pytest.mark.parametrize("regions", [[7], ["x"], [{"region_id": "a"}]])
def test_regions_that_are_no_regions_refuse_their_row(tmp_path: Path, regions: list[Any]) -> None:
    dataset = made(tmp_path)
    rewritten(dataset, "regions", lambda _: regions)
    listing = listing_of(dataset)
    assert (len(listing.entries), [reject.reason for reject in listing.rejects]) == (0, ["bad_record"])


def test_meta_nested_too_deeply_refuses_its_row(tmp_path: Path) -> None:
    dataset = made(tmp_path)
    rewritten(dataset, "meta", lambda _: "[" * 100_000)
    assert [reject.reason for reject in listing_of(dataset).rejects] == ["bad_record"]


def test_a_manifest_nested_too_deeply_is_another_ones(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("[" * 100_000)
    assert load_own_manifest(str(tmp_path)) is None
    with pytest.raises(CorpusError):
        list(read_own_dataset(str(tmp_path), {"files": {"a": 1}}))
