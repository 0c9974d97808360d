#!/usr/bin/env bash
# pyarrow 26.0.1, s3fs 2026.9.0, Polars 2.1.0, DuckDB 2.0.1: an exception in the middle of writing a Parquet file leaves a
# valid file with some of the rows, or none, depending on who writes.
#
# A `with` block around pyarrow's `ParquetWriter` writes the footer whatever ends the block, as its streams end an upload to
# an object store, and s3fs' files do: no reader can tell that rows are missing. `write_dataset` of pyarrow, Polars and DuckDB
# leave no file. A loop over batches in such a block, stopped by Ctrl-C or by a bad row, makes a training set that is short
# of rows and reads without a warning. A killed process writes no footer, and is noticed.
#
# Output seen (the source fails after 3 of 6 rows; DuckDB's after 900,000 of a million):
#   ParquetWriter on disk: a valid file of 3 rows
#   ParquetWriter on S3: a valid file of 3 rows
#   ParquetWriter into s3fs: a valid file of 3 rows
#   write_dataset on disk: no file
#   write_dataset on S3: no file
#   Polars: no file
#   DuckDB: no file
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
install pyarrow==26.0.1 s3fs==2026.9.0 polars==2.1.0 duckdb==2.0.1 'moto[server]==5.2.5'
cat > write.py <<'END'
import duckdb
import polars
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import s3fs
from moto.server import ThreadedMotoServer

SCHEMA = pa.schema([("row", pa.int64())])


class BadRow(Exception):
    pass


def batches():
    yield pa.record_batch([[1, 2, 3]], schema=SCHEMA)
    raise BadRow


def by_writer(sink, files=None):
    with pq.ParquetWriter(sink, SCHEMA, filesystem=files) as writer:
        for batch in batches():
            writer.write_batch(batch)


def by_s3fs(path):
    with s3.open(path, "wb") as file:
        by_writer(file)


def by_dataset(folder, files):
    pads.write_dataset(batches(), folder, schema=SCHEMA, format="parquet", filesystem=files)


def by_polars(path):
    def bad(rows):
        if rows["row"].max() > 3:
            raise BadRow
        return rows

    polars.LazyFrame({"row": [1, 2, 3, 4, 5, 6]}).map_batches(bad).sink_parquet(path)


def by_duckdb(path):
    rows = "select case when row > 900000 then error('bad row') else row end as row from range(1000000) as t(row)"
    duckdb.sql(f"copy ({rows}) to '{path}' (format parquet)")


def try_out(name, files, path, write, *arguments):
    try:
        write(path, *arguments)
    except (BadRow, duckdb.Error):
        found = [info for info in files.get_file_info(pafs.FileSelector("rows", recursive=True)) if info.is_file]
        for info in found:
            print(f"{name}: a valid file of {pq.read_table(info.path, filesystem=files).num_rows} rows")
            files.delete_file(info.path)
        if not found:
            print(f"{name}: no file")


server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
server.start()
host, port = server.get_host_and_port()
disk = pafs.LocalFileSystem()
store = pafs.S3FileSystem(
    access_key="key",
    secret_key="secret",
    region="us-east-1",
    scheme="http",
    endpoint_override=f"127.0.0.1:{port}",
    allow_bucket_creation=True,
)
s3 = s3fs.S3FileSystem(key="key", secret="secret", endpoint_url=f"http://127.0.0.1:{port}", skip_instance_cache=True)
for files in disk, store:
    files.create_dir("rows")
try_out("ParquetWriter on disk", disk, "rows/a.parquet", by_writer)
try_out("ParquetWriter on S3", store, "rows/a.parquet", by_writer, store)
try_out("ParquetWriter into s3fs", store, "rows/a.parquet", by_s3fs)
try_out("write_dataset on disk", disk, "rows/all", by_dataset, disk)
try_out("write_dataset on S3", store, "rows/all", by_dataset, store)
try_out("Polars", disk, "rows/a.parquet", by_polars)
try_out("DuckDB", disk, "rows/a.parquet", by_duckdb)
server.stop()
END
env/bin/python write.py > all 2> log || { cat log; exit 1; }
grep ': ' all | grep -v Server > out
cat out
cat > seen << 'END'
ParquetWriter on disk: a valid file of 3 rows
ParquetWriter on S3: a valid file of 3 rows
ParquetWriter into s3fs: a valid file of 3 rows
write_dataset on disk: no file
write_dataset on S3: no file
Polars: no file
DuckDB: no file
END
diff seen out || { echo "the behaviour is no longer as described"; exit 1; }
