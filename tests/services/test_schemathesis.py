"""Schemathesis over the OpenAPI document, all checks: it finds nothing. `make fuzz-http` looks longer."""

import subprocess
from pathlib import Path

import pytest
from fuzz_service import fuzzed_service


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_finds_nothing(tmp_path: Path) -> None:
    with fuzzed_service(tmp_path) as service:
        command = service.command("--max-examples", "3", "--seed", "1")
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=550)
    assert done.returncode == 0, done.stdout[-20_000:]
    assert " passed" in done.stdout
    assert "Traceback" not in (tmp_path / "log").read_text()
