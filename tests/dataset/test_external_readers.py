"""A dataset opens in the tools that people train with, images and nested columns included."""

from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
from datasets import Image as ImageFeature
from datasets import load_dataset
from factories import make_count, make_dataset, make_reject, make_row
from PIL import Image

from fo1_data.dataset.versions.publish import publish
from schemas.images import ImageRow
from schemas.parquet import IMAGE_SCHEMA


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[ImageRow]:
    folder = tmp_path_factory.mktemp("images")
    rows = [make_row(i, folder=folder, split="validation" if i == 3 else "train") for i in range(5)]
    rows[0].counts = [make_count(rows[0].regions)]
    rows[1].regions, rows[1].groundings = [], []
    return rows


@pytest.fixture(scope="module", params=["referenced", "published"])
def dataset(
    request: pytest.FixtureRequest, rows: list[ImageRow], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    make_dataset(folder / "d", rows, [make_reject()], rows_a_shard=2)
    if request.param == "referenced":
        return folder / "d"
    publish(str(folder / "d"), str(folder / "pub"))
    return folder / "pub"


def of_split(rows: list[ImageRow], split: str) -> list[ImageRow]:
    return [row for row in rows if row.split == split]


def test_load_dataset_decodes_images(dataset: Path, rows: list[ImageRow], tmp_path: Path) -> None:
    loaded = load_dataset(str(dataset), cache_dir=str(tmp_path))
    assert set(loaded) == {"train", "validation"}
    assert isinstance(loaded["train"].features["image"], ImageFeature)
    for split in loaded:
        assert len(loaded[split]) == len(of_split(rows, split))
        for record, row in zip(loaded[split], of_split(rows, split), strict=True):
            assert isinstance(record["image"], Image.Image)
            assert record["image"].size == (row.width, row.height)
            assert record["image_id"] == row.image_id
            assert [r["brief_caption"] for r in record["regions"]] == [r.brief_caption for r in row.regions]
            assert [tuple(r["box_xyxy"]) for r in record["regions"]] == [r.box_xyxy for r in row.regions]


def test_load_dataset_streams(dataset: Path, rows: list[ImageRow]) -> None:
    stream = load_dataset(str(dataset), split="train", streaming=True)
    assert [record["image"].size for record in stream] == [(64, 48)] * 4


def test_pyarrow(dataset: Path, rows: list[ImageRow]) -> None:
    table = pads.dataset(dataset / "data", format="parquet").to_table()
    assert table.num_rows == 5
    assert table.schema.equals(IMAGE_SCHEMA)
    assert pq.read_table(dataset / "rejects.parquet").num_rows == (1 if dataset.name == "d" else 0)


def test_pandas(dataset: Path, rows: list[ImageRow]) -> None:
    frame = pd.read_parquet(dataset / "data")
    assert sorted(frame["image_id"]) == sorted(row.image_id for row in rows)
    assert frame["regions"].map(len).sum() == 8


def test_duckdb(dataset: Path, rows: list[ImageRow]) -> None:
    found = duckdb.sql(
        f"select r.brief_caption, r.box_xyxy[3] - r.box_xyxy[1] as w from "
        f"(select unnest(regions) as r from read_parquet('{dataset}/data/*.parquet')) order by 1, 2"
    ).fetchall()
    expected = [(r.brief_caption, r.box_xyxy[2] - r.box_xyxy[0]) for row in rows for r in row.regions]
    assert found == sorted(expected)


def test_polars(dataset: Path, rows: list[ImageRow]) -> None:
    frame = pl.scan_parquet(str(dataset / "data" / "*.parquet")).select("image_id", "regions").collect()
    assert frame.height == 5
    captions = frame.explode("regions").unnest("regions")["brief_caption"].drop_nulls()
    assert sorted(captions) == sorted(str(r.brief_caption) for row in rows for r in row.regions)


@pytest.mark.slow
def test_ray_data(rows: list[ImageRow], local_ray: None, tmp_path: Path) -> None:
    import ray

    make_dataset(tmp_path / "d", rows, rows_a_shard=2)
    records = ray.data.read_parquet(str(tmp_path / "d" / "data")).take_all()
    assert sorted(record["image_id"] for record in records) == sorted(row.image_id for row in rows)
    assert sum(len(record["regions"]) for record in records) == 8


@pytest.fixture(scope="module")
def local_ray() -> object:
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=80 * 2**20)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


def test_row_groups_are_sized_statistics_and_page_index_are_there(dataset: Path) -> None:
    file = pq.ParquetFile(dataset / "data" / "train-00000.parquet")
    column = file.metadata.row_group(0).column(0)
    assert column.compression == "ZSTD"
    assert column.has_offset_index
    assert column.has_column_index
    assert column.statistics.max is not None
    names = {file.metadata.row_group(0).column(i).path_in_schema: i for i in range(file.metadata.num_columns)}
    repeated = file.metadata.row_group(0).column(names["regions.list.element.box_source"])
    assert repeated.has_dictionary_page
    assert not file.metadata.row_group(0).column(names["image.bytes"]).has_dictionary_page
