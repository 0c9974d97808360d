#!/usr/bin/env bash
# pyarrow 26.0.1, pandas 3.1.1, datasets 5.2.0, Ray 2.60.0: what a reader of Parquet gives for a name in `columns` that is not
# the name of a column: of a part of a struct, of a part of a list of structs, or of nothing.
#
# pyarrow has two ways for one file. `ParquetFile.read` takes the path of a leaf in the file, keeps the nesting, and leaves out
# what it does not find, without a word. `read_table` (so do `pyarrow.dataset` and pandas) raises for what it does not find and
# for the path of a leaf in a list, and gives a part of a struct under its last name only: the parts `path` of two structs are
# two columns `path`. Ray's `read_parquet` reads by the same library and leaves out, without a word, whatever is not a whole
# column; so does `select_columns` after it. If nothing is left, a row is {"__bsp_stub": None}.
#
# Output seen (columns `image` and `mask`, structs of `bytes` and `path`, and `regions`, a list of structs with `label`): as
# after `cat > seen` below.
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
install 'ray[data]==2.60.0' aiohttp pyarrow==26.0.1 datasets==5.2.0 pandas==3.1.1
cat > parts.py <<'END'
import os

import datasets
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import ray

FILE = os.path.abspath("rows.parquet")
ASKED = (
    ["image.path", "mask.path"],
    ["mask", "regions.list.element.label"],
    ["mask", "regions.label"],
    ["mask", "massk"],
)


def of_table(table):
    return [(name, column[0].as_py()) for name, column in zip(table.column_names, table.columns)]


def of_pandas(columns):
    frame = pandas.read_parquet(FILE, columns=columns)
    return list(zip(frame.columns, frame.iloc[0]))


def of_datasets(columns):
    rows = datasets.load_dataset("parquet", data_files=FILE, columns=columns, streaming=True)["train"]
    return list(next(iter(rows)).items())


def of_ray(rows):
    return [field for row in rows.take_all() for field in row.items()]


READERS = {
    "ParquetFile.read": lambda columns: of_table(pq.ParquetFile(FILE).read(columns=columns)),
    "read_table": lambda columns: of_table(pq.read_table(FILE, columns=columns)),
    "pandas": of_pandas,
    "datasets": of_datasets,
    "Ray read_parquet": lambda columns: of_ray(ray.data.read_parquet(FILE, columns=columns)),
    "Ray select_columns": lambda columns: of_ray(ray.data.read_parquet(FILE).select_columns(columns)),
}
row = {
    "image": {"bytes": b"1", "path": "picture.png"},
    "mask": {"bytes": b"0", "path": "mask.png"},
    "regions": [{"label": "cat", "score": 0.5}],
}
pq.write_table(pa.Table.from_pylist([row]), FILE)
ray.init("local", num_cpus=1, include_dashboard=False, logging_level="error", log_to_driver=False)
ray.data.DataContext.get_current().enable_progress_bars = False
for columns in ASKED:
    print(f"[{', '.join(columns)}]")
    for name, read in READERS.items():
        try:
            seen = " ".join(f"{field}={value}" for field, value in read(columns))
        except Exception as error:
            seen = type(error).__name__
        print(f"  {name}: {seen}")
END
HF_HOME="$folder/hub" HF_HUB_OFFLINE=1 RAY_USAGE_STATS_ENABLED=0 env/bin/python parts.py > out 2> log || { cat log; exit 1; }
cat out
cat > seen << 'END'
[image.path, mask.path]
  ParquetFile.read: image={'path': 'picture.png'} mask={'path': 'mask.png'}
  read_table: path=picture.png path=mask.png
  pandas: path=picture.png path=mask.png
  datasets: CastError
  Ray read_parquet: __bsp_stub=None
  Ray select_columns: __bsp_stub=None
[mask, regions.list.element.label]
  ParquetFile.read: mask={'bytes': b'0', 'path': 'mask.png'} regions=[{'label': 'cat'}]
  read_table: ArrowInvalid
  pandas: ArrowInvalid
  datasets: ArrowInvalid
  Ray read_parquet: mask={'bytes': b'0', 'path': 'mask.png'}
  Ray select_columns: mask={'bytes': b'0', 'path': 'mask.png'}
[mask, regions.label]
  ParquetFile.read: mask={'bytes': b'0', 'path': 'mask.png'}
  read_table: ArrowInvalid
  pandas: ArrowInvalid
  datasets: ArrowInvalid
  Ray read_parquet: mask={'bytes': b'0', 'path': 'mask.png'}
  Ray select_columns: mask={'bytes': b'0', 'path': 'mask.png'}
[mask, massk]
  ParquetFile.read: mask={'bytes': b'0', 'path': 'mask.png'}
  read_table: ArrowInvalid
  pandas: ArrowInvalid
  datasets: ArrowInvalid
  Ray read_parquet: mask={'bytes': b'0', 'path': 'mask.png'}
  Ray select_columns: mask={'bytes': b'0', 'path': 'mask.png'}
END
diff seen out || { echo "the behaviour is no longer as described"; exit 1; }
