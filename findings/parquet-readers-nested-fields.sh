#!/usr/bin/env bash
# pyarrow 26.0.1, DuckDB 2.0.1, Ray 2.60.0, Polars 2.1.0, datasets 5.2.0: two Parquet files whose list of structs
# has one field more in the second, read together. Five readers do three different things with that field.
#
# pyarrow (`dataset` and `read_table` of a folder) and DuckDB leave the field out of all rows, without a word.
# Ray Data keeps it, null in the older rows. Polars and `datasets` (streamed) refuse the second file; Polars does so
# in both orders, even if told to ignore extra columns and fill in missing ones. With the newer file first,
# pyarrow, DuckDB and `datasets` keep the field: so the order of the names of the files decides.
#
# Output seen: the two lines at the end of this script.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
install() {  # into the temporary folder, with uv if there is one
    if command -v uv > /dev/null; then
        uv venv --quiet "$folder/env" && uv pip install --quiet --python "$folder/env/bin/python" "$@"
    else
        python3 -m venv "$folder/env" && "$folder/env/bin/python" -m pip install --quiet "$@"
    fi
}
cd "$folder"
install pyarrow==26.0.1 duckdb==2.0.1 'ray[data]==2.60.0' polars==2.1.0 datasets==5.2.0 aiohttp==3.13.2
cat > read.py <<'END'
import datasets
import duckdb
import polars
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import ray

box = [("box", pa.list_(pa.float32())), ("caption", pa.string())]
for name, fields in ("old", box), ("new", [*box, ("mask", pa.string())]):
    region = {"box": [0, 0, 1, 1], "caption": "a cat", "mask": "run lengths"}
    schema = pa.schema([("id", pa.string()), ("regions", pa.list_(pa.struct(fields)))])
    kept = {key: region[key] for key, _ in fields}
    pq.write_table(pa.Table.from_pylist([{"id": name, "regions": [kept]}], schema=schema), f"{name}.parquet")


def by_polars(files, **options):
    return polars.scan_parquet(files, **options).collect().to_dicts()


def by_duckdb(files):
    return [{"regions": regions} for (regions,) in duckdb.sql(f"select regions from read_parquet({files})").fetchall()]


def by_datasets(files):
    return list(datasets.load_dataset("parquet", data_files=files, split="train", streaming=True))


READERS = {
    "pyarrow": lambda files: pyarrow.dataset.dataset(files).to_table().to_pylist(),
    "read_table": lambda files: pq.read_table(files).to_pylist(),
    "duckdb": by_duckdb,
    "ray": lambda files: ray.data.read_parquet(files).take_all(),
    "polars": by_polars,
    "polars ignoring": lambda files: by_polars(files, extra_columns="ignore", missing_columns="insert"),
    "datasets": by_datasets,
}


def outcome(read, files):
    try:
        rows = read(files)
    except (polars.exceptions.SchemaError, datasets.table.CastError, TypeError):
        return "refused"
    regions = [row["regions"][0] for row in rows]
    assert len(regions) == 2
    return "kept" if [region.get("mask") for region in regions].count("run lengths") == 1 else "lost"


ray.init(num_cpus=1, include_dashboard=False, logging_level="ERROR")
for order, files in ("older", ["old.parquet", "new.parquet"]), ("newer", ["new.parquet", "old.parquet"]):
    print(f"{order} first:", ", ".join(f"{name} {outcome(read, files)}" for name, read in READERS.items()))
END
RAY_USAGE_STATS_ENABLED=0 env/bin/python read.py > out 2> log || { cat log; exit 1; }
cat out
cat > seen << 'END'
older first: pyarrow lost, read_table lost, duckdb lost, ray kept, polars refused, polars ignoring refused, datasets refused
newer first: pyarrow kept, read_table kept, duckdb kept, ray kept, polars refused, polars ignoring refused, datasets kept
END
diff seen out || { echo "the behaviour is no longer as described"; exit 1; }
