"""The manifest says the row groups of its files; without it they are read from the files' footers."""

import json
import shutil

import pyarrow.parquet as pq
import pytest
from factories import make_dataset, make_row

from fo1_data.dataset.manifest import read_manifest
from fo1_data.dataset.stored_rows import write_rows
from fo1_data.dataset.versions.publish import publish
from fo1_data.errors import DatasetError
from fo1_data.storage.store import open_store
from fo1_data.training.samples.row_groups import list_row_groups


@pytest.fixture
def versions(tmp_path):
    """A labelled dataset and the training set made of it."""
    make_dataset(tmp_path / "d", [make_row(seed, folder=tmp_path / "images") for seed in range(8)])
    publish(str(tmp_path / "d"), str(tmp_path / "pub"))
    return [tmp_path / "d", tmp_path / "pub"]


def test_the_manifest_says_the_row_groups_of_every_data_file(versions):
    for folder in versions:
        files = [
            file for file in read_manifest(open_store(str(folder))).files if file.path.startswith("data/")
        ]
        assert files
        for file in files:
            footer = pq.read_metadata(folder / file.path)
            assert file.row_group_rows == [footer.row_group(n).num_rows for n in range(footer.num_row_groups)]


def test_a_file_of_several_row_groups_is_described_as_its_footer_is(tmp_path):
    rows = [make_row(0, folder=tmp_path / "images")] * 2_100
    file = write_rows(open_store(str(tmp_path)), "data/train-00000.parquet", rows)
    footer = pq.read_metadata(tmp_path / file.path)
    sizes = [footer.row_group(number).num_rows for number in range(footer.num_row_groups)]
    assert file.row_group_rows == sizes == [1_000, 1_000, 100]


def test_an_older_manifest_gives_the_same_row_groups_and_keeps_its_hash(versions):
    for folder in versions:
        listed = list_row_groups(str(folder))
        older = without_row_groups(folder)
        assert list_row_groups(str(folder)) == listed
        assert read_manifest(open_store(str(folder))).model_dump(mode="json") == older


def test_row_groups_are_listed_without_opening_a_file_and_a_damaged_one_is_an_error(versions):
    folder = versions[1]
    groups = list_row_groups(str(folder), "train")
    assert sum(group.num_rows for group in groups) == sum(group.read(["uri"]).num_rows for group in groups)
    file = folder / groups[-1].path
    pq.write_table(pq.read_table(file), file, row_group_size=1)
    assert list_row_groups(str(folder), "train") == groups
    with pytest.raises(DatasetError, match=f"has 1 rows, the manifest says {groups[-1].num_rows}"):
        groups[-1].read()
    shutil.rmtree(folder / "data")
    assert list_row_groups(str(folder), "train") == groups
    with pytest.raises(DatasetError, match="is missing"):
        groups[0].read()
    without_row_groups(folder)
    with pytest.raises(DatasetError, match="is missing"):
        list_row_groups(str(folder), "train")


def without_row_groups(folder):
    """Write the manifest as an older version did, and return it."""
    document = json.loads((folder / "manifest.json").read_text())
    for file in document["files"]:
        file.pop("row_group_rows", None)
    (folder / "manifest.json").write_text(json.dumps(document))
    return document
