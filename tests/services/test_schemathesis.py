"""Schemathesis over the OpenAPI document, all checks: it finds nothing."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

WITHIN_S = 120


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_finds_nothing(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    environment = {
        **os.environ,
        "FO1_HOME": str(tmp_path / "home"),
        "FO1_STORAGE_ROOTS": json.dumps([str(tmp_path / "root")]),
        "FO1_RAY_ADDRESS": "http://127.0.0.1:9",
        "FO1_PREDICT_URL": "",
        "FO1_DATABASE_URL": "",
        "FO1_LABEL_STUDIO_URL": "",
    }
    serve = [sys.executable, "-m", "fo1_data.cli.main", "serve", "--port", "0", "--json"]
    with subprocess.Popen(serve, env=environment, stdout=subprocess.PIPE, text=True) as service:
        try:
            assert service.stdout is not None
            told = json.loads(service.stdout.readline())
            deadline_s = time.monotonic() + WITHIN_S
            while time.monotonic() < deadline_s:
                try:
                    httpx.get(f"{told['url']}/healthz").raise_for_status()
                    break
                except httpx.HTTPError:
                    time.sleep(0.1)
            command = [
                str(Path(sys.executable).parent / "schemathesis"), "run", f"{told['url']}/openapi.json",
                "--checks", "all", "--max-examples", "3", "--seed", "1", "--workers", "1", "--no-color",
                "-H", f"Authorization: Bearer {told['admin_key']}",
            ]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=550)
        finally:
            service.terminate()
    assert done.returncode == 0, done.stdout[-20_000:]
    assert " passed" in done.stdout
