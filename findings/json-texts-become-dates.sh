#!/usr/bin/env bash
# pyarrow 26.0.1, datasets 5.2.0, DuckDB 2.0.1, geopandas 1.2.0, pyogrio 0.13.0, pandas 3.1.1, Polars 2.1.0: strings of a JSON
# file are dates, times or numbers after reading, if all strings of the column look so, by who reads.
#
# JSON has no dates, but readers guess. A column of what is written in images (receipts, labels, scans) comes back as
# timestamps, `datasets` writes them as milliseconds when it makes JSON of them again, and a clock time gets seconds; lists of
# strings fare no better. pandas takes digits for numbers, whose leading zeros are gone. One other string in the column, and all
# stay as they are: so a sample, or one file of several, has another type than the whole.
#
# Output seen (what became of a column of one string; "again": as datasets writes it after reading; =: the same string):
#   2026-03-01: pyarrow datetime, datasets datetime, again 1772323200000, DuckDB date, geopandas Timestamp, pandas =, Polars =
#   2026-03-01 10:30: pyarrow datetime, datasets datetime, again 1772361000000, DuckDB =, geopandas Timestamp, pandas =, Polars =
#   2026/03/01: pyarrow =, datasets =, again =, DuckDB =, geopandas Timestamp, pandas =, Polars =
#   10:30: pyarrow =, datasets =, again =, DuckDB time, geopandas time, pandas =, Polars =
#   0012: pyarrow =, datasets =, again =, DuckDB =, geopandas =, pandas 12, Polars =
#   beside another string: all =
#   within a list: pyarrow datetime, datasets datetime, DuckDB date, Polars =
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
install pyarrow==26.0.1 datasets==5.2.0 duckdb==2.0.1 geopandas==1.2.0 pyogrio==0.13.0 pandas==3.1.1 polars==2.1.0
cat > texts.py <<'END'
import json

import datasets
import duckdb
import geopandas
import pandas
import polars
import pyarrow.json


def lines(texts, name="rows.jsonl"):
    with open(name, "w") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in texts)
    return name


def features(texts):
    point = {"type": "Point", "coordinates": [1, 2]}
    rows = [{"type": "Feature", "geometry": point, "properties": {"text": text}} for text in texts]
    with open("rows.geojson", "w") as file:
        json.dump({"type": "FeatureCollection", "features": rows}, file)
    return "rows.geojson"


def by_datasets(texts):
    rows = datasets.load_dataset("json", data_files=lines(texts), split="train")
    rows.to_json("again.jsonl")
    return rows["text"]


READERS = {
    "pyarrow": lambda texts: pyarrow.json.read_json(lines(texts))["text"].to_pylist(),
    "datasets": by_datasets,
    "again": lambda texts: [json.loads(line)["text"] for line in open("again.jsonl")],
    "DuckDB": lambda texts: [text for (text,) in duckdb.sql(f"from '{lines(texts)}'").fetchall()],
    "geopandas": lambda texts: geopandas.read_file(features(texts))["text"],
    "pandas": lambda texts: pandas.read_json(lines(texts), lines=True)["text"],
    "Polars": lambda texts: polars.read_ndjson(lines(texts))["text"],
}
TEXTS = "2026-03-01", "2026-03-01 10:30", "2026/03/01", "10:30", "0012"


def became(text, read):
    if read == text:
        return "="
    return read if isinstance(read, int) or hasattr(read, "dtype") else type(read).__name__


for text in TEXTS:
    print(f"{text}: {', '.join(f'{name} {became(text, list(read([text]))[0])}' for name, read in READERS.items())}")
kept = all(list(read([text, "paid"])) == [text, "paid"] for text in TEXTS for read in READERS.values())
print(f"beside another string: {'all =' if kept else 'changed'}")
(text, *_), within = TEXTS, []
for name in "pyarrow", "datasets", "DuckDB", "Polars":
    ((read,),) = READERS[name]([[text]])
    within.append(f"{name} {became(text, read)}")
print(f"within a list: {', '.join(within)}")
END
HF_HOME="$folder/hub" HF_HUB_OFFLINE=1 env/bin/python texts.py > out 2> log || { cat log; exit 1; }
cat out
cat > seen << 'END'
2026-03-01: pyarrow datetime, datasets datetime, again 1772323200000, DuckDB date, geopandas Timestamp, pandas =, Polars =
2026-03-01 10:30: pyarrow datetime, datasets datetime, again 1772361000000, DuckDB =, geopandas Timestamp, pandas =, Polars =
2026/03/01: pyarrow =, datasets =, again =, DuckDB =, geopandas Timestamp, pandas =, Polars =
10:30: pyarrow =, datasets =, again =, DuckDB time, geopandas time, pandas =, Polars =
0012: pyarrow =, datasets =, again =, DuckDB =, geopandas =, pandas 12, Polars =
beside another string: all =
within a list: pyarrow datetime, datasets datetime, DuckDB date, Polars =
END
diff seen out || { echo "the behaviour is no longer as described"; exit 1; }
