#!/usr/bin/env bash
# Ray 2.60.0: in an environment made by `pip install 'ray[data]'`, `read_parquet` of several local files fails with
# an ImportError about HTTP; of one file it works.
#
# Ray Data asks of each path whether it is an HTTP address, by importing fsspec's HTTP file system, and takes
# ModuleNotFoundError for "no": aiohttp, which that needs, is not among the requirements of ray[data]. The paths are
# asked about in several threads at once, and a thread that finds the module half imported by another gets a plain
# ImportError, which is not caught. With aiohttp, which `ray[default]` brings, it works.
#
# Output seen (of eight files, 20 of 20 reads failed):
#   ray[data]: one file 1 row, eight files ImportError
#   with aiohttp: one file 1 row, eight files 8 rows
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
install() {  # into the temporary folder, with uv if there is one
    test -e "$folder/env" || if command -v uv > /dev/null; then uv venv --quiet "$folder/env"; else python3 -m venv "$folder/env"; fi
    if command -v uv > /dev/null; then
        uv pip install --quiet --python "$folder/env/bin/python" "$@"
    else
        "$folder/env/bin/python" -m pip install --quiet "$@"
    fi
}
cd "$folder"
install 'ray[data]==2.60.0' pyarrow==26.0.1 fsspec==2026.9.0
cat > read.py <<'END'
import pyarrow as pa
import pyarrow.parquet as pq
import ray

files = [f"{number}.parquet" for number in range(8)]
for file in files:
    pq.write_table(pa.table({"x": [file]}), file)


def outcome(files):
    try:
        rows = len(ray.data.read_parquet(files).take_all())
        return f"{rows} row{'s' * (rows > 1)}"
    except ImportError as error:
        assert "HTTPFileSystem" in str(error)
        return "ImportError"


ray.init(num_cpus=1, include_dashboard=False, logging_level="ERROR")
print(f"one file {outcome(files[:1])}, eight files {outcome(files)}")
END
export RAY_USAGE_STATS_ENABLED=0
read_files() { timeout 300 env/bin/python read.py 2> log || { cat log; exit 1; }; }
without=$(read_files)
echo "ray[data]: $without"
install aiohttp==3.13.2
with=$(read_files)
echo "with aiohttp: $with"
test "$without / $with" = "one file 1 row, eight files ImportError / one file 1 row, eight files 8 rows" ||
    { echo "the behaviour is no longer as described"; exit 1; }
