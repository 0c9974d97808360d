"""Reading inputs within limits and despite faults; a store that works the same on disk and on S3."""

import errno
import io
import os
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faulty_server
import pytest
from faulty_server import FaultyServer
from rejected_reads import LIMITS, rejected

from fo1_data.corpus.entry_bytes import read_bytes
from fo1_data.corpus.images import InputLimits
from fo1_data.errors import ConfigError, StorageError
from fo1_data.storage import store as storage
from fo1_data.storage.addresses import address_of, join, local_path, normalise, parent
from fo1_data.storage.store import Store, open_store, split_address
from schemas.corpus import CorpusImage


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with faulty_server.running(FaultyServer()) as running:
        yield running


# --- local files


@pytest.mark.parametrize(
    ("address", "folder", "name"),
    [
        ("/C.json", "/", "C.json"),
        ("/a/b.c/C.json", "/a/b.c", "C.json"),
        ("file:///a%20b/C.json", "/a b", "C.json"),
        ("s3://bucket/C.json", "s3://bucket", "C.json"),
        ("s3://bucket/a#1/C d.json", "s3://bucket/a#1", "C d.json"),
        ("C.json", str(Path.cwd()), "C.json"),
    ],
)
def test_an_address_is_split_into_folder_and_name(address: str, folder: str, name: str) -> None:
    assert split_address(address) == (folder, name)


def test_a_folder_is_not_a_file() -> None:
    with pytest.raises(ConfigError, match="name a file"):
        split_address("a/")


def test_a_local_file_by_path_and_by_url(tmp_path: Path) -> None:
    (tmp_path / "a b#%.jpg").write_bytes(b"pixels")
    path = str(tmp_path / "a b#%.jpg")
    assert read_bytes(CorpusImage(uri=path), LIMITS) == b"pixels"
    assert read_bytes(CorpusImage(uri=f"file://{tmp_path}/a%20b%23%25.jpg"), LIMITS) == b"pixels"


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff\xfe.jpg"
    Path(os.fsdecode(path)).write_bytes(b"pixels")
    address = address_of(os.fsdecode(path))
    assert address.endswith("%FF%FE.jpg")
    assert read_bytes(CorpusImage(uri=address), LIMITS) == b"pixels"


@pytest.mark.parametrize(
    ("make", "reason", "replayable"),
    [
        (lambda path: None, "not_found", True),
        (lambda path: path.mkdir(), "not_a_file", False),
        (lambda path: os.mkfifo(path), "not_a_file", False),
        (lambda path: path.symlink_to(path), "unreadable", False),
        (lambda path: path.symlink_to("nowhere"), "not_found", True),
        (lambda path: path.write_bytes(b"x" * 1001), "too_large", False),
    ],
)
def test_what_is_not_a_file_within_the_limit(
    make: Any, reason: str, replayable: bool, tmp_path: Path
) -> None:
    make(tmp_path / "x")
    reject = rejected(str(tmp_path / "x"))
    assert (reject.reason, reject.replayable) == (reason, replayable)


def test_invalid_names(tmp_path: Path) -> None:
    assert rejected(f"{tmp_path}/{'x' * 5000}").reason == "unreadable"
    assert rejected(f"{tmp_path}/a\0b").reason == "unreadable"


def test_an_endless_device_is_refused() -> None:
    assert rejected("/dev/zero").reason == "not_a_file"


# --- web


def test_a_web_file(server: FaultyServer) -> None:
    server.files["/a.jpg?size=1"] = b"pixels"
    assert read_bytes(CorpusImage(uri=f"{server.url}/a.jpg?size=1"), LIMITS) == b"pixels"
    missing = rejected(f"{server.url}/b.jpg")
    assert (missing.reason, missing.replayable) == ("not_found", True)
    assert len(server.requests) == 2


@pytest.mark.parametrize("fault", faulty_server.FAULTS)
def test_a_temporary_fault_of_the_web_is_retried(server: FaultyServer, fault: str) -> None:
    server.files["/a.jpg"] = bytes(range(250))
    server.faults = [fault]
    limits = InputLimits(max_bytes=1000, download_timeout_s=0.3)
    assert read_bytes(CorpusImage(uri=f"{server.url}/a.jpg"), limits) == bytes(range(250))
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("fault", "reason"), [("status", "unreadable"), ("slow", "timeout"), ("cut", "unreadable")]
)
def test_a_permanent_fault_of_the_web_is_a_reject(server: FaultyServer, fault: str, reason: str) -> None:
    server.files["/a.jpg"] = bytes(range(250))
    server.faults = [fault] * 20
    start = time.monotonic()
    reject = rejected(f"{server.url}/a.jpg", InputLimits(max_bytes=1000, download_timeout_s=0.3))
    assert (reject.reason, reject.replayable) == (reason, True)
    assert len(server.requests) == 3
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("declares_length", [True, False])
def test_the_size_limit_holds_whatever_a_server_declares(server: FaultyServer, declares_length: bool) -> None:
    server.files["/a.jpg"] = b"x" * 10_000_000
    server.declares_length = declares_length
    assert rejected(f"{server.url}/a.jpg").reason == "too_large"


def test_no_server() -> None:
    reject = rejected("http://127.0.0.1:9/a.jpg", InputLimits(download_timeout_s=1.0))
    assert reject.replayable


@pytest.mark.parametrize("uri", ["https://", "http://[bad", "nosuchscheme://x/y", "s3://"])
def test_an_invalid_address(uri: str, object_store: Any) -> None:
    assert rejected(uri).reason in ("unreadable", "not_found", "not_a_file")


@pytest.mark.parametrize("honours_ranges", [True, False])
def test_a_part_of_a_web_file(server: FaultyServer, honours_ranges: bool) -> None:
    server.files["/a.tar"] = bytes(range(250)) * 10
    server.honours_ranges = honours_ranges
    entry = CorpusImage(uri=f"{server.url}/a.tar", inner="x", inner_span=(300, 20))
    assert read_bytes(entry, LIMITS) == bytes(range(50, 70))


# --- archives


def tar_of(path: Path, members: dict[str, bytes], mode: str) -> None:
    with tarfile.open(path, mode) as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize("mode", ["w:", "w:gz", "w:bz2", "w:xz"])
def test_members_in_any_order_of_any_tar(tmp_path: Path, mode: str) -> None:
    members = {f"{i}.jpg": bytes([i]) * (i + 1) for i in range(20)}
    path = tmp_path / "x.tar"
    tar_of(path, members, mode)
    for name in [*members, "3.jpg", "1.jpg", "19.jpg"]:
        assert read_bytes(CorpusImage(uri=str(path), inner=name), LIMITS) == members[name]
    assert rejected(str(path), inner="20.jpg").reason == "not_found"
    assert rejected(str(path), InputLimits(max_bytes=5), inner="10.jpg").reason == "too_large"


@pytest.mark.parametrize("data", [b"", b"no tar at all" * 100, b"\x1f\x8b\x08broken"])
def test_a_file_that_is_not_an_archive(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(data)
    assert rejected(str(tmp_path / "x.tar"), inner="a").reason in ("unreadable", "not_found")


# --- object stores


def test_an_object_with_an_odd_key(object_store: Any) -> None:
    address = object_store.put("dir/a b#%41.jpg", b"pixels")
    assert read_bytes(CorpusImage(uri=address), LIMITS) == b"pixels"
    assert rejected(f"{object_store.url}/dir/none.jpg").reason == "not_found"
    assert rejected("s3://no-such-bucket/none.jpg").reason == "not_found"
    big = object_store.put("big", b"x" * 1001)
    assert rejected(big).reason == "too_large"
    entry = CorpusImage(uri=big, inner="part", inner_span=(5, 3))
    assert read_bytes(entry, LIMITS) == b"xxx"


@pytest.mark.parametrize("fault", faulty_server.FAULTS)
def test_a_temporary_fault_of_an_object_store(
    object_store: Any, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = object_store.put("a.jpg", bytes(range(250)))
    with faulty_server.running(FaultyServer(behind=object_store.endpoint)) as between:
        monkeypatch.setenv("AWS_ENDPOINT_URL", between.url)
        between.faults = [fault]
        limits = InputLimits(max_bytes=1000, download_timeout_s=1.5)
        assert read_bytes(CorpusImage(uri=address), limits) == bytes(range(250))
        assert not between.faults


def test_a_silent_object_store_times_out(object_store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    address = object_store.put("a.jpg", bytes(range(250)))
    with faulty_server.running(FaultyServer(behind=object_store.endpoint)) as between:
        monkeypatch.setenv("AWS_ENDPOINT_URL", between.url)
        between.faults = ["slow"] * 50
        start = time.monotonic()
        reject = rejected(address, InputLimits(max_bytes=1000, download_timeout_s=0.4))
        assert (reject.reason, reject.replayable) == ("timeout", True)
        assert time.monotonic() - start < 10


# --- stores


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return open_store(str(tmp_path / "store"))
    return open_store(f"{request.getfixturevalue('object_store').url}/store")


def test_a_store_keeps_files(store: Store) -> None:
    assert store.list() == []
    assert not store.exists("a/b.txt")
    store.write_bytes("a/b.txt", b"one")
    store.write_bytes("a/b.txt", b"three")
    store.write_bytes("c.txt", b"")
    assert store.list() == ["a/b.txt", "c.txt"]
    assert store.list("a") == ["a/b.txt"]
    assert store.list("none") == []
    assert store.read_bytes("a/b.txt") == b"three"
    assert (store.size("a/b.txt"), store.size("c.txt")) == (5, 0)
    with store.open_input("a/b.txt") as file:
        file.seek(2)
        assert file.read() == b"ree"
    store.place("a/b.txt", "d/e.txt")
    store.delete_folder("a")  # an object store has a copy left there
    store.delete("c.txt")
    store.delete("c.txt")
    assert store.list() == ["d/e.txt"]
    assert not store.exists("d")
    store.write_bytes("x.json.gz", b"not packed")
    assert store.read_bytes("x.json.gz") == b"not packed"
    for fails in (store.read_bytes, store.size, store.open_input):
        with pytest.raises(FileNotFoundError):
            fails("none")


def test_only_one_of_many_writers_creates(store: Store) -> None:
    made: list[int] = []
    ready = threading.Barrier(6)

    def create(number: int) -> None:
        ready.wait()
        if store.create_exclusive("run/lease", f"writer {number}".encode()):
            made.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert store.read_bytes("run/lease") == f"writer {made[0]}".encode()
    assert store.list() == ["run/lease"]
    assert not store.create_exclusive("run/lease", b"writer 9")


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    store = open_store(str(tmp_path))
    assert store.create_exclusive("a", b"1")
    assert not store.create_exclusive("a", b"2")
    assert store.read_bytes("a") == b"1"


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = open_store(str(tmp_path))
    store.write_bytes("a", b"before")
    monkeypatch.setattr(storage.os, "fsync", full)
    for write in (store.write_bytes, store.create_exclusive):
        with pytest.raises(StorageError, match="no space left") as caught:
            write("a", b"after")
        assert "\n" not in str(caught.value)
    assert store.read_bytes("a") == b"before"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_an_unreachable_store_is_an_error_of_one_line(
    object_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store("s3://no-such-bucket/run")
    for act in (lambda: store.write_bytes("a", b"x"), lambda: store.create_exclusive("a", b"x")):
        with pytest.raises((StorageError, FileNotFoundError)) as caught:
            act()
        assert "\n" not in str(caught.value)


def test_the_web_cannot_be_written_to() -> None:
    with pytest.raises(ConfigError, match="not written"):
        open_store("https://example.org/x")


def test_any_file_system_of_fsspec() -> None:
    store = open_store("memory://top/run")
    store.write_bytes("a/b", b"x")
    assert store.create_exclusive("a/c", b"y")
    assert not store.create_exclusive("a/c", b"z")
    assert store.list() == ["a/b", "a/c"]
    assert read_bytes(CorpusImage(uri="memory://top/run/a/b"), LIMITS) == b"x"


# --- addresses


def test_addresses_join_and_split() -> None:
    assert join("s3://b/dir", "../x/./y.jpg") == "s3://b/x/y.jpg"
    assert join("s3://b/dir", "/y.jpg") == "s3://b/y.jpg"
    assert join("s3://b/dir", "s3://c/y.jpg") == "s3://c/y.jpg"
    assert join("/dir", "../y.jpg") == "/y.jpg"
    assert join("/dir", "/other/y.jpg") == "/other/y.jpg"
    assert parent("s3://b/dir/x") == "s3://b/dir"
    assert parent("https://h/dir/x?y=/z") == "https://h/dir"
    assert normalise("file:///a/b%20c") == "/a/b c"
    assert local_path("s3://b/x") is None
