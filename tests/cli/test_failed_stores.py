"""A store that fails by itself ends a command with exit code 1, one that refuses what was asked with 2."""

from collections.abc import Callable
from pathlib import Path

import faulty_server
import httpx
import huggingface_hub
import pytest
from factories import make_dataset, make_row
from faulty_server import FaultyServer
from object_store import ObjectStore

from fo1_data.cli.main import main
from fo1_data.corpus.images import InputLimits
from fo1_data.corpus.places import walk
from fo1_data.dataset.pixels import image_bytes
from fo1_data.errors import CheckpointError, CorpusError, DatasetError, StorageError
from fo1_data.model.checkpoint_folder import find_checkpoint
from fo1_data.storage import downloads
from fo1_data.storage.store import open_store
from fo1_data.storage.store_faults import store_failed
from fo1_data.storage.streams import read_whole

FOR_EVER = 10**6
LABEL = ["label", "--address", "in-process", "--out", "{folder}/out"]

COMMANDS = {
    "list": [*LABEL, "{url}/list.jsonl"],
    "bucket": [*LABEL, "s3://bucket/images"],
    "out": ["label", "{folder}/images", "--address", "in-process", "--out", "s3://bucket/out"],
    "model": [*LABEL, "{folder}/images", "--model", "s3://bucket/model"],
    "boxes": [*LABEL, "{folder}/images", "--proposals", "{url}/boxes.jsonl"],
    "gold": ["evaluate", "{dataset}", "--gold", "{url}/gold.jsonl"],
    "corrections": ["dataset", "merge", "{dataset}", "--corrections", "{url}/c.jsonl", "--out", "{folder}/m"],
}


def fails(server: FaultyServer) -> None:
    server.status = 503


def is_silent(server: FaultyServer) -> None:
    server.unanswered = FOR_EVER


def refuses(server: FaultyServer) -> None:
    server.status = 403


@pytest.mark.parametrize(
    ("harm", "code"), [(fails, 1), (is_silent, 1), (refuses, 2)], ids=["fails", "silent", "refuses"]
)
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_the_exit_code_says_whether_the_store_or_the_request_is_at_fault(
    command: list[str],
    harm: Callable[[FaultyServer], None],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_dataset(tmp_path / "d")  # with its images beside it
    with faulty_server.running(FaultyServer()) as server:
        harm(server)
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
            monkeypatch.setenv(name, "made-up")
        monkeypatch.setenv("FO1_CACHE_DIR", str(tmp_path / "cache"))
        places = {"url": server.url, "folder": str(tmp_path), "dataset": str(tmp_path / "d")}
        monkeypatch.setattr("sys.argv", ["fo1", *(part.format(**places) for part in command)])
        with pytest.raises(SystemExit) as ended:
            main()
    told = capsys.readouterr().err
    assert ended.value.code == code, told
    assert told.splitlines()[-1].startswith("fo1: ")
    assert server.requests


@pytest.mark.parametrize("fault", ["slow", "cut"])
def test_a_body_that_does_not_arrive_is_a_fault_of_the_server(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fo1_data.storage.streams._TIMEOUT_S", 0.3)
    with faulty_server.running(FaultyServer()) as server:
        server.files["/list.txt"] = b"a.png\n" * 100
        server.faults = [fault]
        with pytest.raises(CorpusError) as caught:
            read_whole(f"{server.url}/list.txt")
    assert store_failed(caught.value)


def test_a_host_without_an_address_is_a_fault_of_the_request() -> None:
    with pytest.raises(CorpusError) as caught:
        read_whole("http://no-such-host.invalid/list.txt")
    assert not store_failed(caught.value)


def test_an_image_that_does_not_arrive_is_no_fault_of_its_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "FIRST_PAUSE_S", 0.0)
    with faulty_server.running(FaultyServer()) as server:
        row = make_row(0, uri=f"{server.url}/a.png")
        with pytest.raises(DatasetError) as gone:
            image_bytes(row, InputLimits())
        server.status = 503
        with pytest.raises(DatasetError) as unsent:
            image_bytes(row, InputLimits())
    assert (store_failed(gone.value), store_failed(unsent.value)) == (False, True)


def test_a_folder_that_a_store_does_not_list_is_not_left_out(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    object_store.put("images/a.png", b"")
    with faulty_server.running(FaultyServer(behind=object_store.endpoint)) as between:
        monkeypatch.setenv("AWS_ENDPOINT_URL", between.url)
        assert list(walk(f"{object_store.url}/images")) == [f"{object_store.url}/images/a.png"]
        between.status = 503
        with pytest.raises(StorageError, match="^cannot list s3://"):
            list(walk(f"{object_store.url}/images"))


def test_a_file_that_a_silent_store_does_not_create_is_a_fault_of_the_store(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faulty_server.running(FaultyServer(behind=object_store.endpoint)) as between:
        monkeypatch.setenv("AWS_ENDPOINT_URL", between.url)
        between.unanswered = FOR_EVER
        with pytest.raises(StorageError, match="^cannot write s3://") as caught:
            open_store(f"{object_store.url}/out").create_exclusive("lease", b"mine")
    assert store_failed(caught.value)


def test_a_hub_that_breaks_off_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot_download(name: str, **options: object) -> str:
        raise httpx.RemoteProtocolError("Server disconnected without sending a response.")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(CheckpointError, match="^owner/name: not a folder, and the hub does not") as caught:
        find_checkpoint("owner/name")
    assert store_failed(caught.value)
