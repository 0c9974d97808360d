"""How long a start of Label Studio may take: as long as migrations go on, and how far they are is said."""

import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fo1_data.errors import RunError
from services.label_studio import server as label_studio
from services.label_studio.server import LabelStudioServer, await_health

# Longer than a busy machine takes to start a process; shorter than all migrations take.
STILL_S = 6.0
# Applies some migrations, 0.5 s each, and then answers, or waits for ever.
STAND_IN = """
import http.server, sqlite3, sys, time
database, port, count, answers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "answers"
with sqlite3.connect(database) as connection:
    connection.execute("CREATE TABLE django_migrations (id INTEGER PRIMARY KEY, app TEXT, name TEXT)")
for number in range(count):
    time.sleep(0.5)
    with sqlite3.connect(database) as connection:
        row = ("tasks", f"{number:04d}")
        connection.execute("INSERT INTO django_migrations (app, name) VALUES (?, ?)", row)

class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

if answers:
    http.server.HTTPServer(("127.0.0.1", port), Health).serve_forever()
time.sleep(60)
"""


@pytest.fixture
def stand_in(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[LabelStudioServer]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", STAND_IN, str(tmp_path / "db"), str(port), *request.param.split()]
    process = subprocess.Popen(command, start_new_session=True)
    server = LabelStudioServer(f"http://127.0.0.1:{port}", "", "", "", process, tmp_path / "log")
    yield server
    server.stop()


@pytest.mark.parametrize("stand_in", ["15 answers"], indirect=True)
def test_a_start_may_last_while_migrations_go_on(
    stand_in: LabelStudioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_studio, "NOTE_EVERY_S", 0.0)
    notes: list[str] = []
    started_s = time.monotonic()
    await_health(stand_in, tmp_path / "db", STILL_S, notes.append)
    assert time.monotonic() - started_s > STILL_S
    assert len(notes) > 3
    assert all(
        re.fullmatch(r"\d+ migrations applied in \d+ s, the last is tasks\.\d{4}", note) for note in notes
    )


@pytest.mark.parametrize("stand_in", ["2 silent"], indirect=True)
def test_a_start_that_stands_still_is_told(stand_in: LabelStudioServer, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"neither answered nor applied a migration for 6 s \(2 are applied\)"):
        await_health(stand_in, tmp_path / "db", STILL_S, lambda message: None)


def test_a_program_that_speaks_no_http_at_the_address_is_no_label_studio() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answers = threading.Thread(target=_answer_once, args=(listener,))
        answers.start()
        assert not label_studio.is_up(f"http://127.0.0.1:{listener.getsockname()[1]}")
        answers.join()


def _answer_once(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(b"220 ready\r\n")


def test_the_port_is_none_that_the_kernel_gives_to_others() -> None:
    ephemeral = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if not ephemeral.exists():
        pytest.skip("the range is known on Linux alone")
    port = label_studio._free_port()
    assert port < int(ephemeral.read_text().split()[0])
    with socket.create_server(("127.0.0.1", port)):
        pass
