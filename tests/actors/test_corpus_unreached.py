"""Images that do not arrive because nothing of their corpus does are no rejects: the run ends, and resumes.

One dead server of several, or one beside local files, is another matter: its images are rejects.
"""

import io
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faulty_server
import pytest
from faulty_server import FaultyServer
from PIL import Image
from quick_labeller import FACTORY

from fo1_data.corpus.unreached import witnesses_of
from fo1_data.dataset.reader import open_dataset
from fo1_data.errors import StorageError
from fo1_data.runs.in_process import run_in_process
from fo1_data.runs.watcher import Unwatched
from fo1_data.storage import downloads
from schemas.corpus import CorpusImage
from schemas.jobs import RunConfig

FOR_EVER = 10**9


class FromThenOn(Unwatched):
    """Lets a server fall silent when the run has reached a point."""

    def __init__(self, server: FaultyServer, point: str) -> None:
        self._server, self._point = server, point

    def reached(self, point: str) -> None:
        if point == self._point:
            self._server.unanswered = FOR_EVER


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(downloads, "FIRST_PAUSE_S", 0.0)
    yield
    downloads.wait_for_stores(0.0)


def test_a_store_that_answers_no_image_ends_the_run_and_the_same_command_labels_all(
    object_store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(6):
        object_store.put(f"images/{index}.png", _png(index))
    config = RunConfig(corpus=f"{object_store.url}/images", out=str(tmp_path / "out"), shard_size=2)
    with faulty_server.running(FaultyServer(behind=object_store.endpoint)) as between:
        monkeypatch.setenv("AWS_ENDPOINT_URL", between.url)
        with pytest.raises(StorageError, match="nothing of the corpus can be fetched"):
            run_in_process(config, FromThenOn(between, "listed"), FACTORY)
        between.unanswered = 0
        counts = run_in_process(config, None, FACTORY).counts
    assert (counts.images, counts.rejected) == (6, 0)


def test_one_dead_web_server_of_two_gives_rejects_that_can_be_replayed(tmp_path: Path) -> None:
    with faulty_server.running(FaultyServer()) as alive:
        alive.files = {f"/{index}.png": _png(index) for index in range(3)}
        server = _dead_server()
        dead = [f"{server}/{index}.png" for index in range(5)]
        counts = _label_list(tmp_path, [*dead, *(f"{alive.url}{path}" for path in alive.files)])
    rejects = list(open_dataset(str(tmp_path / "out")).rejects())
    assert (counts.images, sorted(reject.uri for reject in rejects)) == (3, dead)
    assert all(reject.replayable for reject in rejects)


def test_a_dead_web_server_beside_local_files_gives_rejects(tmp_path: Path) -> None:
    (tmp_path / "here.png").write_bytes(_png(0))
    counts = _label_list(tmp_path, [f"{_dead_server()}/0.png", str(tmp_path / "here.png")])
    assert (counts.images, counts.rejected) == (1, 1)


def test_a_corpus_of_one_dead_web_server_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"nothing of the corpus can be fetched: http://.*/0\.png"):
        _label_list(tmp_path, [f"{_dead_server()}/0.png"])


def test_a_server_that_has_none_of_the_images_has_answered(tmp_path: Path) -> None:
    with faulty_server.running(FaultyServer()) as empty:
        empty.faults = ["status"] * downloads.NUM_TRIES  # the first image does not arrive in time
        counts = _label_list(tmp_path, [f"{empty.url}/{index}.png" for index in range(2)])
    assert (counts.images, counts.rejected) == (0, 2)


def test_the_witnesses_are_in_all_stores_of_a_large_corpus() -> None:
    entries = [CorpusImage(uri=f"http://host-{index % 5}/{index}.png") for index in range(10_000)]
    assert {uri.split("/")[2] for uri in witnesses_of(entries)} == {f"host-{index}" for index in range(5)}
    assert witnesses_of([*entries, CorpusImage(uri="/local.png")]) == ()
    assert len(witnesses_of([CorpusImage(uri=f"http://host-{index}/") for index in range(100)])) == 8
    assert witnesses_of(entries[:1]) == (entries[0].uri,)
    assert witnesses_of([]) == ()


def _label_list(folder: Path, addresses: list[str]) -> Any:
    corpus = folder / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"uri": address}) + "\n" for address in addresses))
    config = RunConfig(corpus=str(corpus), out=str(folder / "out"), shard_size=2)
    return run_in_process(config, None, FACTORY).counts


def _dead_server() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def _png(index: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (20 + index, 20), (index, 0, 0)).save(file, "PNG")
    return file.getvalue()
