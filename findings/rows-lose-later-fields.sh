#!/usr/bin/env bash
# pyarrow 26.0.1, datasets 5.2.0: a table of rows has only the fields of the first row, where they come as dictionaries.
#
# Fields that a later row has besides are left out without a word by pyarrow's `Table.from_pylist` and
# `RecordBatch.from_pylist`, and by `Dataset.from_list` and `from_generator`. The same rows as a column of structs
# (`pyarrow.array`, or nested one level deeper in the very same call) keep them, as pandas and Polars do. So optional fields of
# annotations (a mask, a flag of crowds, a second answer) are lost if the first image has none, and kept if it has one.
#
# Output seen (rows {"box": 1} and {"box": 2, "mask": 3}):
#   pyarrow Table.from_pylist: box
#   pyarrow RecordBatch.from_pylist: box
#   datasets from_list: box
#   datasets from_generator: box
#   pyarrow array: box mask
#   pyarrow Table.from_pylist, nested: box mask
#   pandas: box mask
#   Polars: box mask
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
install pyarrow==26.0.1 datasets==5.2.0 pandas==3.1.1 polars==2.1.0
cat > rows.py <<'END'
import datasets
import pandas
import polars
import pyarrow as pa

ROWS = [{"box": 1}, {"box": 2, "mask": 3}]


def generated():
    yield from ROWS


nested = pa.Table.from_pylist([{"region": row} for row in ROWS]).schema.field("region").type
for name, fields in {
    "pyarrow Table.from_pylist": pa.Table.from_pylist(ROWS).column_names,
    "pyarrow RecordBatch.from_pylist": pa.RecordBatch.from_pylist(ROWS).schema.names,
    "datasets from_list": datasets.Dataset.from_list(ROWS).column_names,
    "datasets from_generator": datasets.Dataset.from_generator(generated).column_names,
    "pyarrow array": [field.name for field in pa.array(ROWS).type],
    "pyarrow Table.from_pylist, nested": [field.name for field in nested],
    "pandas": list(pandas.DataFrame(ROWS).columns),
    "Polars": polars.from_dicts(ROWS).columns,
}.items():
    print(f"{name}: {' '.join(fields)}")
END
HF_HOME="$folder/hub" HF_HUB_OFFLINE=1 env/bin/python rows.py > out 2> log || { cat log; exit 1; }
cat out
cat > seen << 'END'
pyarrow Table.from_pylist: box
pyarrow RecordBatch.from_pylist: box
datasets from_list: box
datasets from_generator: box
pyarrow array: box mask
pyarrow Table.from_pylist, nested: box mask
pandas: box mask
Polars: box mask
END
diff seen out || { echo "the behaviour is no longer as described"; exit 1; }
