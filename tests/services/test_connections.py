"""Limits of connections and of the time of requests, on a real port."""

import asyncio
import socket
import time
from pathlib import Path

import httpx
import pytest
import uvloop
from listening_service import WITHIN_S, Listening, LoopFactory, listening
from running_service import make_settings

from services.security import lingering
from services.server import connection_limits

HEAD = b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\nX-Half: "
BODY = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
LARGE_BYTES = 20_000_000
LARGE_BODY = BODY.replace(b": 100", b": %d" % LARGE_BYTES)
PART = b"x" * 100_000
MANY = 40


def answer_of(connection: socket.socket) -> bytes:
    """What the service sends until it closes the connection."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize(("sent", "part"), [(HEAD, b"head"), (BODY, b"body")])
def test_a_request_that_does_not_come_in_time_is_ended(home: Path, sent: bytes, part: bytes) -> None:
    settings = make_settings(home, ray_address="http://127.0.0.1:9", request_head_s=0.2, request_body_s=0.2)
    with listening(settings) as service:
        answer = answer_of(service.connect(sent))
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"the %s of the request" % part in answer
        assert answer_of(service.connect(b"")) == b""
        assert service.get("/v1/jobs").status_code == 200


@pytest.mark.parametrize("sent", [HEAD, BODY, b""])
def test_half_sent_requests_give_way_to_whole_ones(home: Path, sent: bytes) -> None:
    settings = make_settings(home, ray_address="http://127.0.0.1:9", max_connections=10)
    with listening(settings) as service:
        half = [service.connect(sent) for _ in range(MANY)]
        for path in ("/healthz", "/readyz", "/v1/jobs"):
            assert service.get(path).status_code == 200
        assert service.context.metrics.registry.get_sample_value("fo1_connections") <= 11
        for connection in half:
            connection.close()
    assert service.seconds_to_stop is not None
    assert service.seconds_to_stop < 3


def test_idle_connections_give_way(home: Path) -> None:
    settings = make_settings(home, ray_address="http://127.0.0.1:9", max_connections=5)
    with listening(settings) as service:
        clients = [httpx.Client(base_url=service.url) for _ in range(8)]
        for client in [*clients, *clients]:
            try:
                assert client.get("/healthz").status_code == 200
            except httpx.RemoteProtocolError:  # it was closed as the request left: clients send that again
                assert client.get("/healthz").status_code == 200
        for client in clients:
            client.close()


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize(
    ("sent", "answer"), [(HEAD, b"HTTP/1.1 431 "), (LARGE_BODY, b"HTTP/1.1 413 ")], ids=["head", "body"]
)
def test_who_sends_too_much_can_send_it_all_and_then_read_why_it_is_refused(
    home: Path, loop: LoopFactory, sent: bytes, answer: bytes
) -> None:
    with listening(make_settings(home, ray_address="http://127.0.0.1:9"), loop) as service:
        connection = service.connect(sent)
        for _ in range(LARGE_BYTES // len(PART)):
            connection.sendall(PART)
        assert answer_of(connection).startswith(answer)


def send_until_cut_off(connection: socket.socket, part: bytes, every_s: float = 0) -> None:
    ends_s = time.monotonic() + WITHIN_S
    with pytest.raises(OSError, match=r"Broken pipe|reset by peer"):
        while time.monotonic() < ends_s:
            connection.sendall(part)
            time.sleep(every_s)


def test_who_goes_on_sending_too_much_is_cut_off(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "LONGEST_S", 0.2)
    with listening(make_settings(home, ray_address="http://127.0.0.1:9")) as service:
        send_until_cut_off(service.connect(HEAD), PART)


def test_who_reads_the_refusal_and_does_not_close_is_cut_off(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lingering, "IDLE_S", 0.1)
    with listening(make_settings(home, ray_address="http://127.0.0.1:9")) as service:
        connection = service.connect(HEAD + PART)
        assert answer_of(connection).startswith(b"HTTP/1.1 431 ")
        send_until_cut_off(connection, b"x", every_s=0.5)


def stream_of_a_job(service: Listening, tmp_path: Path) -> str:
    """The path of the events of a new job."""
    (tmp_path / "corpus").mkdir(exist_ok=True)
    job = {"corpus": str(tmp_path / "corpus"), "out": str(tmp_path / "out")}
    headers = {"Authorization": f"Bearer {service.key}"}
    made = httpx.post(f"{service.url}/v1/jobs", json=job, headers=headers)
    assert made.status_code == 201, made.text
    return f"/v1/jobs/{made.json()['id']}/events"


def test_open_streams_leave_room_for_health_and_do_not_delay_the_stop(tmp_path: Path, home: Path) -> None:
    settings = make_settings(home, ray_address="http://127.0.0.1:9", max_connections=5)
    with listening(settings) as service:
        path = stream_of_a_job(service, tmp_path)
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.key}\r\n\r\n".encode()
        streams = [service.connect(request) for _ in range(5)]
        assert all(stream.recv(1000).startswith(b"HTTP/1.1 200 ") for stream in streams)
        assert service.get("/healthz").status_code == 200
        assert service.get("/v1/jobs").status_code == 503
        assert service.get("/v1/jobs").headers["Retry-After"] == "5"
    assert service.seconds_to_stop is not None
    assert service.seconds_to_stop < 3


def test_the_limit_leaves_files_for_the_service(home: Path) -> None:
    settings = make_settings(home, max_connections=1000)
    assert connection_limits(settings, 65_536).max_connections == 1000
    assert connection_limits(settings, 256).max_connections == 78
