"""An object store that is away for a while is waited for by labellers; a file that alone fails is not."""

from collections.abc import Iterator
from typing import Any

import faulty_server
import pytest
from faulty_server import FaultyServer
from rejected_reads import LIMITS, rejected

from fo1_data.corpus.entry_bytes import read_bytes
from fo1_data.corpus.images import InputLimits
from fo1_data.storage import downloads
from fo1_data.storage.downloads import wait_for_stores
from fo1_data.storage.outages import Outages
from schemas.corpus import CorpusImage

AWAY = 12  # requests without an answer: a download alone makes 9


@pytest.fixture
def patient() -> Iterator[None]:
    """This process waits for stores that are away, as a labeller does."""
    wait_for_stores(30.0)
    yield
    wait_for_stores(0.0)


@pytest.mark.usefixtures("patient")
def test_a_store_that_is_away_for_long_rejects_no_file(
    object_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = [object_store.put(name, bytes(range(250))) for name in ("a.jpg", "b.jpg")]
    limits = InputLimits(max_bytes=1000, download_timeout_s=1.5)
    with faulty_server.running(FaultyServer(behind=object_store.endpoint)) as between:
        monkeypatch.setenv("AWS_ENDPOINT_URL", between.url)
        read_bytes(CorpusImage(uri=addresses[0]), limits)
        between.unanswered = AWAY
        assert read_bytes(CorpusImage(uri=addresses[1]), limits) == bytes(range(250))
        assert not between.unanswered


@pytest.mark.usefixtures("patient")
def test_a_store_that_never_answered_is_not_waited_for(
    object_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faulty_server.running(FaultyServer(behind=object_store.endpoint)) as between:
        monkeypatch.setenv("AWS_ENDPOINT_URL", between.url)
        between.unanswered = 10 * AWAY
        reject = rejected(object_store.put("away.jpg", b"x").replace("s3://", "s3://new-"), LIMITS)
    assert (reject.stage, reject.replayable) == ("fetch", True)


@pytest.mark.usefixtures("patient")
def test_a_file_that_alone_does_not_arrive_is_rejected_though_stores_are_waited_for(
    object_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = object_store.put("a.jpg", bytes(range(250)))
    with faulty_server.running(FaultyServer(behind=object_store.endpoint)) as between:
        monkeypatch.setenv("AWS_ENDPOINT_URL", between.url)
        between.faults = ["slow"] * 50
        reject = rejected(address, InputLimits(max_bytes=1000, download_timeout_s=0.4))
        assert (reject.reason, len(between.faults) > 40) == ("timeout", True)


@pytest.mark.usefixtures("patient")
def test_a_file_that_fails_after_its_store_is_back_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "FIRST_PAUSE_S", 0.0)
    watch = Outages(patience_s=30.0)
    watch.answered("s3://bucket")
    monkeypatch.setattr(downloads, "_outages", watch)
    tries: list[str] = []

    def fails(address: str, *_: object) -> bytes:
        tries.append(address)
        if len(tries) == downloads.NUM_TRIES + 1:  # another file arrives
            watch.answered("s3://bucket")
        raise OSError("no answer")

    monkeypatch.setattr(downloads, "read_object", fails)
    assert rejected("s3://bucket/a.jpg").reason == "unreadable"
    assert len(tries) == 3 * downloads.NUM_TRIES


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("silent_tries", [2, 2 + downloads.NUM_TRIES])
def test_a_file_whose_last_try_another_file_overtakes_is_tried_once_more(
    silent_tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The try began while the store was away, and was not over when it came back."""
    monkeypatch.setattr(downloads, "FIRST_PAUSE_S", 0.0)
    watch, tries = Outages(patience_s=30.0), []
    watch.answered("s3://bucket")
    monkeypatch.setattr(downloads, "_outages", watch)

    def read(address: str, *_: object) -> bytes:
        tries.append(address)
        if len(tries) <= silent_tries:
            raise OSError("no answer")
        if len(tries) == silent_tries + 1:
            watch.answered("s3://bucket")
            raise OSError("no answer")
        return b"whole"

    monkeypatch.setattr(downloads, "read_object", read)
    assert read_bytes(CorpusImage(uri="s3://bucket/a.jpg"), LIMITS) == b"whole"
