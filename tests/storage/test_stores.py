"""A failing store or an object store: no incomplete file appears, and the run resumes afterwards."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from factories import make_reject, make_row, make_shard
from moto.server import ThreadedMotoServer

from fo1_data.dataset.manifest import find_manifest
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.writer import open_run
from fo1_data.errors import LeaseError, StorageError
from fo1_data.storage.store import open_store
from schemas.shards import FileLimits

FINGERPRINT = {"model_sha256": "aa"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one mebibyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_an_error_of_one_line_and_the_run_resumes(small_disk: Path) -> None:
    out = small_disk / "d"
    run = open_run(str(out), FINGERPRINT, {})
    run.write_shard(make_shard(0), [make_row(0, embed=True)], [], "a")
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 700_000)
    large = [make_row(i, width=400, height=300, embed=True) for i in range(1, 4)]
    with pytest.raises(StorageError, match="no space left") as failure:
        run.write_shard(make_shard(1), large, [], "b")
    assert "\n" not in str(failure.value)
    assert list(run.done_shards()) == [make_shard(0).shard_id]
    assert not list(out.rglob("*1-b/train.parquet"))

    ballast.unlink()
    again = open_run(str(out), FINGERPRINT, {})
    again.write_shard(make_shard(1), large, [], "c")
    again.seal("d")
    assert [row.image_id for row in open_dataset(str(out)).rows()] == [
        row.image_id for row in (make_row(0, embed=True), *large)
    ]


def test_no_room_for_the_manifest_leaves_an_unfinished_dataset(small_disk: Path) -> None:
    out = small_disk / "d"
    run = open_run(str(out), FINGERPRINT, {})
    run.write_shard(make_shard(0), [make_row(0)], [], "a")
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(b"x" * 4096)
    with pytest.raises(StorageError, match="no space left"):
        run.seal("d")
    assert find_manifest(run.store) is None
    ballast.unlink()
    assert run.seal("d").counts.images == 1


def test_a_limit_on_file_size_is_a_storage_error(tmp_path: Path) -> None:
    """The same without mounting a file system: the process may write files of 20 kB."""
    script = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[1])!r})
from factories import make_row, make_shard
from fo1_data.dataset.writer import open_run
from fo1_data.errors import StorageError
run = open_run({str(tmp_path / "d")!r}, {FINGERPRINT!r}, {{}})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
try:
    run.write_shard(make_shard(), [make_row(1, width=300, height=300, embed=True)], [], "a")
except StorageError as error:
    print(str(error))
"""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] != 20_000
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 1
    run = open_run(str(tmp_path / "d"), FINGERPRINT, {})
    assert run.done_shards() == {}
    assert not list((tmp_path / "d").rglob("*.parquet"))
    run.write_shard(make_shard(), [make_row(1)], [], "b")
    assert run.seal("d").counts.images == 1


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket of a real server that speaks S3 on loopback."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="datasets")
    yield "s3://datasets"
    server.stop()


def test_a_dataset_in_an_object_store(bucket: str) -> None:
    out = f"{bucket}/made up/d"
    run = open_run(out, FINGERPRINT, {})
    with run.lease() as lease:
        with pytest.raises(LeaseError):
            run.lease()
        first = run.write_shard(make_shard(0), [make_row(0), make_row(1)], [make_reject()], "a")
        assert run.write_shard(make_shard(0), [make_row(5)], [], "late") == first
        run.write_shard(make_shard(1), [make_row(1, uri="again")], [], "b")
        (group,) = run.plan_groups(2, FileLimits())[0].take_ready()
        gathered = run.gather(group, "a")
        assert run.gather(group, "late") == gathered
        kept = [path for path in open_store(out).list(".run/tries") if path.endswith(".parquet")]
        assert kept == [f".run/tries/group-00000-a/{name}.parquet" for name in ("rejects", "train")]
        manifest = run.seal("d", lease=lease)
    assert manifest.counts.images == 2
    assert [file.path for file in manifest.files] == ["data/train-00000.parquet", "rejects.parquet"]
    assert [row.uris[-1] for row in open_dataset(out).rows()] == [make_row(0).uri, "again"]
    assert open_run(out, FINGERPRINT, {}).manifest == manifest
    left = [path for path in open_store(out).list(".run") if "tries" in path]
    assert left == []


@pytest.mark.parametrize("kind", ["disk", "object store"])
def test_a_file_written_in_pieces_appears_whole_or_not_at_all(kind: str, tmp_path: Path, bucket: str) -> None:
    store = open_store(str(tmp_path / "d") if kind == "disk" else f"{bucket}/pieces")
    store.write_chunks("all.json", iter([b"[1", b", 2", b"]"]))
    assert store.read_bytes("all.json") == b"[1, 2]"

    def interrupted() -> Iterator[bytes]:
        yield b"[3"
        raise StorageError("a row cannot be read")

    with pytest.raises(StorageError, match="a row cannot be read"):
        store.write_chunks("more.json", interrupted())
    assert store.list() == ["all.json"]
