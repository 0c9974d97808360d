#!/usr/bin/env bash
# Ray Data 2.60.0 with pyarrow 26.0.1: `map_batches(lambda batch: batch)` changes ids, and types by the file.
#
# Its default batch is of NumPy arrays, which have no null integers: an int64 column becomes float64 in every
# block that holds a null. Identifiers above 2**53 are rounded, one file of the result has int64 and the next
# has double, and a list of structs comes back as pickled Python objects of an extension type of Ray. No
# warning, and the rows look alike. With batch_format="pyarrow" the same function changes nothing.
#
# Output seen:
#   numpy    [9007199254740993, 9007199254740992.0, nan] int64, double; regions: a Ray extension type
#   pyarrow  [9007199254740993, 9007199254740993, None] int64, int64; regions: list<struct>
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
install "ray[data]==2.60.0" pyarrow==26.0.1 numpy==2.2.6 pandas==3.1.1
cat > "$folder/try.py" <<'PYTHON'
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import ray

folder = sys.argv[1]
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20,
         _temp_dir=f"{folder}/r")
import ray.data

ray.data.DataContext.get_current().enable_progress_bars = False
big = 2**53 + 1
regions = pa.list_(pa.struct([("label", pa.string()), ("score", pa.float32())]))
for name, ids in (("a", [big]), ("b", [big, None])):
    table = pa.table({
        "track_id": pa.array(ids, pa.int64()),
        "regions": pa.array([[{"label": "cat", "score": 0.5}]] * len(ids), regions),
    })
    pq.write_table(table, f"{folder}/{name}.parquet")


def through(batch_format):
    """Ids and column types of both files after a function that returns its batch unchanged."""
    ids, id_types, region_types = [], [], set()
    for name in "ab":
        data = ray.data.read_parquet(f"{folder}/{name}.parquet")
        data = data.map_batches(lambda batch: batch, batch_format=batch_format)
        for table in ray.get(data.to_arrow_refs()):
            ids += table["track_id"].to_pylist()
            id_types.append(str(table.schema.field("track_id").type))
            region_types.add(isinstance(table.schema.field("regions").type, pa.ExtensionType))
    print(batch_format, ids, id_types, "extension type" if True in region_types else "plain list", flush=True)
    return ids, id_types, region_types


ids, id_types, region_types = through("numpy")
assert ids[:2] == [big, big - 1] and ids[2] != ids[2], ids
assert id_types == ["int64", "double"], id_types
assert region_types == {True}, region_types
assert through("pyarrow") == ([big, big, None], ["int64", "int64"], {False})
PYTHON
RAY_USAGE_STATS_ENABLED=0 "$folder/env/bin/python" "$folder/try.py" "$folder"
echo "as described: ray 2.60.0, pyarrow 26.0.1"
