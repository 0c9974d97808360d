"""The client of the service against what is no service, and settings that are none: one line."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fo1_data.errors import ConfigError, RunError, UsageError
from fo1_data.service_client import KEY_VARIABLE, URL_VARIABLE, ServiceClient, read_corrections_at


class Stranger(ThreadingHTTPServer):
    """Answers every request with `body` and `status`. `paths`: what was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.body, self.status = b"{}", 200
        self.paths: list[str] = []


class _Answers(BaseHTTPRequestHandler):
    server: Stranger

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stranger]:
    with Stranger() as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        monkeypatch.setenv(URL_VARIABLE, server.url)
        monkeypatch.setenv(KEY_VARIABLE, "a-key")
        yield server
        server.shutdown()
        serving.join()


@pytest.mark.parametrize("status", [200, 404, 500])
@pytest.mark.parametrize("body", [b"[]", b"3", b"null", b"<html>", b'"text"'])
def test_an_answer_of_another_form_is_told(stranger: Stranger, body: bytes, status: int) -> None:
    stranger.body, stranger.status = body, status
    with ServiceClient() as client:
        for ask in (lambda: client.get("rev_1"), lambda: client.newest("ds_x", tracks=False)):
            with pytest.raises(RunError, match="does not answer as fo1 serve does"):
                ask()


@pytest.mark.parametrize("body", [b"{}", b'{"items": null}', b'{"error": "no such page"}'])
def test_a_document_that_is_no_page_has_no_corrections_to_give(stranger: Stranger, body: bytes) -> None:
    """It would be taken for a review in which nobody has corrected anything."""
    stranger.body = body
    with pytest.raises(RunError, match="does not answer with a page of corrections"):
        list(read_corrections_at(f"{stranger.url}/v1/reviews/rev_1/corrections"))
    with ServiceClient() as client:
        for ask in (lambda: client.newest("ds_x", tracks=True), lambda: client.by_keys(["ab"])):
            with pytest.raises(RunError, match="does not answer as fo1 serve does"):
                ask()


@pytest.mark.parametrize("key", ["clé", "a\nb", "\u2603"])
def test_what_is_no_key_is_told(stranger: Stranger, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=KEY_VARIABLE):
        ServiceClient(key=key)
    monkeypatch.setenv(KEY_VARIABLE, key)
    with pytest.raises(ConfigError, match=KEY_VARIABLE):
        list(read_corrections_at(f"{stranger.url}/v1/reviews/rev_1/corrections"))
    assert not stranger.paths


def test_an_id_stays_one_part_of_the_path(stranger: Stranger) -> None:
    stranger.body, stranger.status = b'{"detail": "no review has this id"}', 404
    with ServiceClient() as client:
        for review_id in ("rev_ \n1", "rev_1/part", "rev_1?x=1"):
            with pytest.raises(UsageError, match="no review has this id"):
                client.find(review_id)
    assert all(path.startswith("/v1/reviews/rev_") and path.count("/") == 3 for path in stranger.paths)
