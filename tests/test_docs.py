"""The documentation is true: every column is on the dataset's page, and the examples run."""

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from factories import make_dataset, make_row, make_shard
from made_up_tracks import make_clip

from fo1_data.dataset.exports.export import FORMATS, PROFILES, export_dataset
from fo1_data.dataset.versions.publish import publish
from fo1_data.dataset.writer import open_run
from schemas.parquet import IMAGE_SCHEMA, LABEL, REJECT_SCHEMA
from schemas.tracks import TRACK_SCHEMA, VIDEO_SCHEMA

DOCS = Path(__file__).resolve().parents[1] / "docs"
DATASET_PAGE = (DOCS / "dataset.md").read_text(encoding="utf-8")
EXPORTS_PAGE = (DOCS / "exports.md").read_text(encoding="utf-8")


def _type_name(kind: pa.DataType) -> str:
    if kind == LABEL:
        return "LABEL"
    if pa.types.is_fixed_size_list(kind):
        return f"fixed_size_list<{_type_name(kind.value_type)}>[{kind.list_size}]"
    if pa.types.is_list(kind):
        return f"list<{_type_name(kind.value_type)}>"
    return "struct" if pa.types.is_struct(kind) else {"float": "float32"}.get(str(kind), str(kind))


def _columns(name: str, kind: pa.DataType) -> Iterator[tuple[str, str]]:
    """A column and all nested in it, with types; a label's own fields stand once, under LABEL."""
    yield name, _type_name(kind)
    if pa.types.is_list(kind):
        name, kind = f"{name}[]", kind.value_type
    if pa.types.is_struct(kind) and kind != LABEL:
        yield from _fields(name, kind)


def _fields(name: str, kind: pa.StructType) -> Iterator[tuple[str, str]]:
    for field in kind:
        yield from _columns(f"{name}.{field.name}", field.type)


def _documented(text: str) -> dict[str, str]:
    """Columns and their types from the tables of a page."""
    columns = {}
    for names, kind in re.findall(r"^\| (`[^|]*`) \| ([^|]+) \| [^|]+ \|$", text, re.MULTILINE):
        columns.update(dict.fromkeys(re.findall(r"`([^`]+)`", names), kind))
    return columns


def test_every_column_is_documented_with_its_type() -> None:
    rows_part, others = DATASET_PAGE.split("## Rejects")
    rejects_part, tables = others.split("## Loading")[0].split("## Videos and tracks")
    columns = [column for field in IMAGE_SCHEMA for column in _columns(field.name, field.type)]
    assert _documented(rows_part) == dict([*columns, *_fields("LABEL", LABEL)])
    assert _documented(rejects_part) == {field.name: _type_name(field.type) for field in REJECT_SCHEMA}
    videos, tracks = tables.split("### `tracks.parquet`")
    for text, schema in ((videos, VIDEO_SCHEMA), (tracks, TRACK_SCHEMA)):
        nested = (column for field in schema for column in _columns(field.name, field.type))
        assert _documented(text) == {
            name: kind for name, kind in nested if not name.startswith("provenance.")
        }


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `runs/published` in it, of which one row has no region, and `runs/tracked`."""
    folder = tmp_path_factory.mktemp("docs")
    rows = [make_row(seed, folder=folder / "images", num_regions=seed % 3 + 1) for seed in range(6)]
    rows[1].regions, rows[1].groundings = [], []
    make_dataset(folder / "runs" / "first", rows)
    publish(str(folder / "runs" / "first"), str(folder / "runs" / "published"))
    clips = [make_clip(0), make_clip(1)]
    run = open_run(str(folder / "runs" / "tracked"), {}, {})
    for index, clip in enumerate(clips):
        run.write_shard(make_shard(index), clip.rows, [], "t", tracks=clip.tracks, videos=[clip.video])
    run.seal("tracked")
    for form, profile in re.findall(r"runs/published --format (\w+)(?: --profile (\S+))?", EXPORTS_PAGE):
        out = folder / "exports" / (profile or form)
        export_dataset(str(folder / "runs" / "published"), form, str(out), profile or None)
    return folder


SNIPPETS: list[str] = re.findall(r"```python\n(.*?)```", DATASET_PAGE + EXPORTS_PAGE, re.DOTALL)


# webdataset leaves its tar open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("code", [code for code in SNIPPETS if "import ray" not in code])
def test_an_example_runs(code: str, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(published)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path))
    names: dict[str, object] = {}
    exec(code, names)
    if "batch" in names:
        batch = names["batch"]
        assert isinstance(batch, dict)
        assert [tuple(boxes.shape[1:]) for boxes in batch["boxes_xyxy"]] == [(4,)] * 4
    if "boxes_xyxy" in names:
        assert len(names["boxes_xyxy"]) == 10  # type: ignore[arg-type]
    if "over_time" in names:
        assert len(names["over_time"]) == 2 * (20 + 17)  # type: ignore[arg-type]
    if "both" in names:
        assert names["both"].schema.equals(IMAGE_SCHEMA)  # type: ignore[attr-defined]
    if "looks" in names:
        assert len(names["looks"]) == 8  # type: ignore[arg-type]


def test_every_export_is_explained() -> None:
    for name in (*FORMATS, *PROFILES):
        assert f"`{name}`" in EXPORTS_PAGE
        assert f"--format {name} " in EXPORTS_PAGE or f"--profile {name} " in EXPORTS_PAGE


@pytest.fixture
def ray_in_published(published: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A local Ray whose processes start in the folder of the examples."""
    ray = pytest.importorskip("ray")
    monkeypatch.chdir(published)
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=80 * 2**20)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.mark.slow
def test_ray_data_keeps_nested_columns_in_pyarrow_batches_alone(ray_in_published: None) -> None:
    import ray

    (code,) = (code for code in SNIPPETS if "import ray" in code)
    exec(code, {})
    wide = pq.read_table("runs/wide")
    assert wide.num_rows == 6
    assert wide.schema.field("regions").type == IMAGE_SCHEMA.field("regions").type

    rows = ray.data.read_parquet("runs/published/data")
    batch = next(iter(rows.iter_batches(batch_size=6)))
    assert batch["regions"].dtype == object
    assert isinstance(batch["regions"][0][0], dict)
    rows.map_batches(lambda batch: batch, batch_format="numpy").write_parquet("runs/pickled")
    written = pq.read_schema(next(Path("runs/pickled").glob("*.parquet")))
    for name in ("regions", "groundings", "counts", "answers", "uris"):
        assert "pickled" in str(written.field(name).type), name  # large_binary where Ray is not loaded
    assert pa.types.is_null(written.field("caption").type)


def test_modules_named_in_the_design_exist() -> None:
    text = (DOCS / "design.md").read_text(encoding="utf-8")
    modules = set(re.findall(r"`((?:schemas|fo1_data|actors|services)(?:\.\w+)+)`", text))
    assert len(modules) > 20
    for module in modules:
        place = DOCS.parent / module.replace(".", "/")
        assert place.is_dir() or place.with_suffix(".py").exists(), module
