"""The log: a line a record with time, level and what it is about, and a line for each request."""

import json
import logging
from pathlib import Path

import pytest
from running_service import make_settings, run_app

from fo1_data.logs import LogFormat, LogLevel, about, logging_to_stderr

LOG = logging.getLogger("fo1.service")


def test_json_lines_say_what_they_are_about(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr(LogFormat.JSON, LogLevel.INFO):
        with about(job="job_1"), about(review="rev_2"):
            LOG.warning("two\nlines")
        LOG.debug("too small")
        try:
            raise ValueError("a defect")
        except ValueError:
            LOG.exception("failed")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert first["time"].endswith("Z")
    assert {key: first[key] for key in ("level", "message", "job", "review")} == {
        "level": "warning", "message": "two\nlines", "job": "job_1", "review": "rev_2",
    }  # fmt: skip
    assert "job" not in second
    assert "ValueError: a defect" in second["error"]


def test_text_is_a_line_a_record(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr(LogFormat.TEXT, LogLevel.WARNING), about(job="a job\nof two lines"):
        LOG.info("too small")
        LOG.warning("two\nlines")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(r'WARNING two | lines job="a job\nof two lines"')


async def test_requests_have_an_id_and_a_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with run_app(make_settings(home, ray_address="http://127.0.0.1:9")) as service:
        with logging_to_stderr(LogFormat.JSON, LogLevel.INFO):
            own = await service.client.get("/v1/jobs/job_0/events", headers={"X-Request-Id": "mine-1"})
            bad = await service.client.get("/v1/jobs?secret=1", headers={"X-Request-Id": "not this one"})
            await service.client.get("/healthz")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    access = [line for line in lines if line["logger"] == "fo1.access"]
    assert own.headers["X-Request-Id"] == "mine-1"
    assert [line["request"] for line in access] == ["mine-1", bad.headers["X-Request-Id"]]
    assert access[1]["message"].startswith("GET /v1/jobs 200 ")
    assert access[1]["key"] == service.keys["admin"].split("_")[1]
    assert "secret" not in json.dumps(access)
