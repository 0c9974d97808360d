"""Corrections of a review: every page as it was asked for, the key for its own service alone."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from factories import make_dataset, make_row
from made_corrections import correct
from typer.testing import CliRunner

from fo1_data.cli.main import app
from fo1_data.dataset.corrections.sources import read_corrections, read_followed
from fo1_data.dataset.versions.compare import compare_datasets
from fo1_data.dataset.versions.merge import merge_corrections
from fo1_data.errors import ConfigError, DatasetError, RunError, UsageError
from fo1_data.service_client import ServiceClient
from schemas.corrections import Correction, CorrectionAction, correction_line, parse_corrections

AT = "2026-11-24T10:00:00Z"
CHANGES = [
    Correction(image_id="a" * 64, action=CorrectionAction.DELETED, region_id=f"r{n}", at=AT) for n in range(3)
]


class Service(ThreadingHTTPServer):
    """Gives one correction a page, and keeps the query and the key of each request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Pages)
        self.asked: list[tuple[dict[str, list[str]], str | None]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Pages(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        self.server.asked.append((query, self.headers.get("Authorization")))
        place = int(query.get("cursor", ["0"])[0])
        following = str(place + 1) if place + 1 < len(CHANGES) else None
        page = {"items": [CHANGES[place].model_dump(mode="json")], "next_cursor": following}
        self.send_response(401 if "locked" in self.path else 200)
        self.end_headers()
        self.wfile.write(json.dumps(page).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Reviews(BaseHTTPRequestHandler):
    """Has one review, of another version than is asked for, whose annotation was deleted."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        review = {"id": "rev_1", "key": "aa11"}
        if url.path == "/v1/reviews":
            document = {"items": [review] if parse_qs(url.query).get("key") == ["aa11"] else []}
        else:
            document = {"items": [], "next_cursor": None}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_service_follows_the_reviews_that_were_merged_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = make_row(1)
    make_dataset(tmp_path / "v1", [row])
    mistake = correct(row, "deleted", region_id=row.regions[0].region_id, annotation_key="aa11/7")
    merge_corrections(str(tmp_path / "v1"), [mistake], str(tmp_path / "v2"))
    with ThreadingHTTPServer(("127.0.0.1", 0), Reviews) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        monkeypatch.setenv("FO1_SERVICE_URL", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setenv("FO1_API_KEY", "secret")
        command = ["dataset", "merge", str(tmp_path / "v2"), "--corrections", "service"]
        result = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "v3"), "--json"])
        unknown = CliRunner().invoke(app, [*command[:2], str(tmp_path / "v1"), *command[3:], "--out", "x"])
        server.shutdown()
        serving.join()
    assert result.exit_code == 0, result.output
    assert "1 correction was withdrawn since version 2" in result.stderr
    assert json.loads(result.stdout)["merged"]["withdrawn"] == 1
    assert compare_datasets(str(tmp_path / "v1"), str(tmp_path / "v3")).is_empty
    assert isinstance(unknown.exception, UsageError)


class OfBothKinds(BaseHTTPRequestHandler):
    """Has reviews of a dataset's images and of its tracks, two of each, newest first, one a page."""

    REVIEWS = tuple(
        {"id": f"rev_{n}", "key": f"{n}" * 4, "tracks": tracks, "address": "d"}
        for n, tracks in ((4, True), (3, True), (2, False), (1, False))
    )

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        place = int(query.get("cursor", "0"))
        document: dict[str, object] = {"items": [], "next_cursor": None}
        if url.path == "/v1/reviews" and "key" not in query and "both" in query["dataset"]:
            following = str(place + 1) if place + 1 < len(self.REVIEWS) else None
            document = {"items": [self.REVIEWS[place]], "next_cursor": following}
        elif url.path.endswith("/corrections"):
            number = int(url.path.split("/")[3].removeprefix("rev_"))
            change = CHANGES[0].model_copy(update={"region_id": f"r{number}"})
            document["items"] = [change.model_dump(mode="json")]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_the_newest_reviews_of_images_and_of_tracks_are_found_and_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("both", "neither"):
        make_dataset(tmp_path / name, [make_row(1)])
    with ThreadingHTTPServer(("127.0.0.1", 0), OfBothKinds) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        monkeypatch.setenv("FO1_SERVICE_URL", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setenv("FO1_API_KEY", "secret")
        with ServiceClient() as client:
            found = [client.find(str(tmp_path / "both"), tracks=tracks)["id"] for tracks in (False, True)]
            with pytest.raises(UsageError, match="review push .*neither --tracks$"):
                client.find(str(tmp_path / "neither"), tracks=True)
        followed, keys = read_followed(str(tmp_path / "both"))
        with pytest.raises(UsageError, match="was not pushed"):
            read_followed(str(tmp_path / "neither"))
        server.shutdown()
        serving.join()
    assert found == ["rev_2", "rev_4"]
    assert ({change.region_id for change in followed}, keys) == ({"r2", "r4"}, {"2222", "4444"})


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with Service() as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        monkeypatch.setenv("FO1_SERVICE_URL", f"{server.url}/")
        monkeypatch.setenv("FO1_API_KEY", "secret")
        yield server
        server.shutdown()
        serving.join()


def test_every_page_is_asked_with_the_query_and_the_key(service: Service) -> None:
    assert read_corrections("review:rev_1") == CHANGES
    assert read_corrections(f"{service.url}/v1/reviews/rev_1/corrections?everyone=true") == CHANGES
    assert [query.get("everyone") for query, _ in service.asked] == [None] * 3 + [["true"]] * 3
    assert {key for _, key in service.asked} == {"Bearer secret"}


@pytest.mark.parametrize("elsewhere", ["http://localhost:9", "https://127.0.0.1", ""])
def test_another_host_is_not_shown_the_key(
    service: Service, monkeypatch: pytest.MonkeyPatch, elsewhere: str
) -> None:
    monkeypatch.setenv("FO1_SERVICE_URL", elsewhere)
    assert read_corrections(f"{service.url}/v1/reviews/rev_1/corrections") == CHANGES
    assert {key for _, key in service.asked} == {None}
    with pytest.raises(ConfigError, match="set FO1_SERVICE_URL to that service"):
        read_corrections(f"{service.url}/locked/corrections")


def test_what_is_no_address_or_no_file_is_said_in_one_line(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for source in (f"{service.url}\x00/corrections", str(tmp_path / "none.jsonl"), str(tmp_path)):
        with pytest.raises(ConfigError) as told:
            read_corrections(source)
        assert "\n" not in str(told.value)
    with pytest.raises(RunError, match="cannot be read"):
        read_corrections("http://127.0.0.1:9/corrections")
    monkeypatch.delenv("FO1_SERVICE_URL")
    with pytest.raises(ConfigError, match="set FO1_SERVICE_URL"):
        read_corrections("review:rev_1")


def test_a_file_is_found_from_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c.jsonl").write_text("".join(f"{correction_line(one)}\n" for one in CHANGES))
    monkeypatch.chdir(tmp_path)
    assert read_corrections("c.jsonl") == read_corrections(f"file://{tmp_path}/c.jsonl") == CHANGES


def test_a_file_of_corrections_reads_back_and_names_its_broken_line() -> None:
    row = make_row(3)
    change = correct(row, "deleted", region_id=row.regions[0].region_id, seconds=3.5, lane="audit")
    assert list(parse_corrections([correction_line(change), ""])) == [change]
    with pytest.raises(ValueError, match="line 2: moved needs region_id"):
        list(parse_corrections([
            correction_line(change),
            json.dumps({"image_id": "a", "action": "moved", "at": AT, "after": {"box_xyxy": [0, 0, 1, 1]}}),
        ]))  # fmt: skip
    with pytest.raises(ValueError, match="has no area"):
        correct(row, "added", after={"box_xyxy": (5, 5, 5, 9)})


@pytest.mark.parametrize("count", [3_000_000_000, -1])
def test_a_count_that_no_dataset_can_hold_is_named_with_its_line(count: int) -> None:
    line = {"image_id": "a", "action": "recounted", "subject": "ant", "at": AT, "after": {"count": count}}
    with pytest.raises(ValueError, match=r"line 1: after.count: .* equal to (2147483647|0)"):
        list(parse_corrections([json.dumps(line)]))
    assert list(parse_corrections([json.dumps({**line, "after": {"count": 2**31 - 1}})]))


@pytest.mark.parametrize("box", [[0, 0, 1e308, 5], [-1e39, 0, 1, 5], [0, 0, 0, 5]])
def test_a_box_that_no_image_has_is_refused_in_one_line(tmp_path: Path, box: list[float]) -> None:
    document = {"image_id": "a" * 64, "action": "added", "at": AT, "after": {"box_xyxy": box}}
    (tmp_path / "c.jsonl").write_text(json.dumps(document))
    with pytest.raises(DatasetError, match=r"line 1: after.*box"):
        read_corrections(str(tmp_path / "c.jsonl"))
