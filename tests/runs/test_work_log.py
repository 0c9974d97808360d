"""What a run says while it works, if asked: lines of a log, and spans to a collector of OpenTelemetry."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from PIL import Image
from typer.testing import CliRunner

from fo1_data.cli.main import app
from fo1_data.errors import ConfigError

QUICK_LABELLER = Path(__file__).parents[1] / "actors"
PROGRAM = """
import sys
from fo1_data.logs import log_if_asked
from fo1_data.runs.in_process import run_in_process
from schemas.jobs import RunConfig
with log_if_asked():
    config = RunConfig(corpus=sys.argv[1], out=sys.argv[2], shard_size=2)
    run_in_process(config, None, "quick_labeller:QuickLabeller")
"""


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three images and a broken file: two shards."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for index in range(3):
        Image.new("RGB", (24, 24), (index, 0, 0)).save(folder / f"{index}.png")
    (folder / "broken.png").write_bytes(b"this is no image")
    return folder


FAILING_PROGRAM = """
from contextlib import suppress
from fo1_data.logs import log_if_asked
from fo1_data.runs.work_log import logged
with log_if_asked(), suppress(ValueError), logged("label_shard", "1", "2", "3"):
    raise ValueError("no room")
"""


def run(corpus: Path, program: str = PROGRAM, **environment: str) -> str:
    """Label the corpus in a process of its own; what it wrote to standard error."""
    path = os.pathsep.join([str(QUICK_LABELLER), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-c", program, str(corpus), str(corpus.with_name("out"))]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_nothing_is_said_unasked(corpus: Path) -> None:
    assert run(corpus, FO1_LOG_FORMAT="") == ""


def test_work_that_fails_is_said_only_if_asked(corpus: Path) -> None:
    assert run(corpus, FAILING_PROGRAM) == ""
    assert "label_shard: ValueError: no room" in run(corpus, FAILING_PROGRAM, FO1_LOG_LEVEL="warning")


def test_a_record_names_its_run_shard_and_image(corpus: Path) -> None:
    lines = [json.loads(line) for line in run(corpus, FO1_LOG_FORMAT="json").splitlines()]
    done = [line for line in lines if line["message"].startswith("label_shard: done")]
    assert len({line["shard"] for line in done}) == 2
    (rejected,) = [line for line in lines if line["message"].startswith("rejected")]
    assert rejected["image"].endswith("broken.png")
    assert {line["shard"] for line in done} >= {rejected["shard"]}
    assert len({line["run"] for line in lines}) == 1
    assert all(line["try"] and line["level"] == "info" for line in lines)


class Collector:
    """A collector that keeps the spans it is sent."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.spans: list[Any] = []


@pytest.fixture
def collector() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            request = ExportTraceServiceRequest()
            request.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    made.spans.extend(scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made = Collector(server.server_port)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield made
        server.shutdown()


def test_each_shard_is_a_span(corpus: Path, collector: Collector) -> None:
    run(corpus, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    shards = [span for span in collector.spans if span.name == "label_shard"]
    named = [{entry.key: entry.value.string_value for entry in span.attributes} for span in shards]
    assert len({span["fo1.shard"] for span in named}) == 2
    assert all(span["fo1.try"] and span["fo1.run"] for span in named)
    assert all(span.end_time_unix_nano > span.start_time_unix_nano for span in shards)


def test_a_level_that_is_none_is_refused(corpus: Path) -> None:
    with pytest.raises(AssertionError, match="FO1_LOG_LEVEL is 'loud': choose one of debug, info"):
        run(corpus, FO1_LOG_LEVEL="loud")


@pytest.mark.parametrize("command", [["label", "nowhere", "--out", "x"], ["serve", "--port", "0"]])
def test_traces_without_their_packages_are_refused_at_the_start(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FO1_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, ConfigError)
    assert 'pip install "fo1-data[traces]"' in str(result.exception)
