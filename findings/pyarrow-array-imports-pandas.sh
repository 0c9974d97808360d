#!/usr/bin/env bash
# pyarrow 26.0.1 beside pandas 3.0.4: making an array of a list of Python integers imports pandas.
#
# `import pyarrow` does not import pandas. But the first `pa.array`, `pa.scalar` or `Table.from_pylist` does, wherever pandas is
# installed, although nothing of pandas goes in or comes out: the converter has to know pandas' missing values. So does the first
# `read_table`, which makes such values on its way; `ParquetFile.read` and arrays made of buffers do not. It costs 0.2 to 0.9 s of
# processor time in every process, and memory.
#
# Output seen: import False, from_buffers False, ParquetFile.read False, array True, scalar True, from_pylist True, read_table True.
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
install pyarrow==26.0.1 pandas==3.0.4 numpy==2.2.6
imports() {  # whether a program imports pandas
    "$folder/env/bin/python" -c "import sys
import pyarrow as pa
import pyarrow.parquet as pq
path = '$folder/numbers.parquet'
$1
print('pandas' in sys.modules)"
}
imports "pq.write_table(pa.table({'a': pa.array([1, 2])}), path)" > /dev/null
seen="import $(imports 'pass')"
buffers="pa.Array.from_buffers(pa.int64(), 1, [None, pa.py_buffer(bytes(8))])"
seen="$seen, from_buffers $(imports "$buffers")"
seen="$seen, ParquetFile.read $(imports 'pq.ParquetFile(path).read()')"
seen="$seen, array $(imports 'pa.array([1, 2])')"
seen="$seen, scalar $(imports 'pa.scalar(1)')"
seen="$seen, from_pylist $(imports "pa.Table.from_pylist([{'a': 1}])")"
seen="$seen, read_table $(imports 'pq.read_table(path)')"
echo "$seen"
made="array True, scalar True, from_pylist True, read_table True"
[ "$seen" = "import False, from_buffers False, ParquetFile.read False, $made" ]
echo "as described: pyarrow 26.0.1, pandas 3.0.4"
