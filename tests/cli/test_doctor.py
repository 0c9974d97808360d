"""`fo1 doctor`: one line for each check, its JSON, and its exit code."""

import json
import subprocess
import sys

import pytest

from fo1_data.cli import doctor

RUN = "import sys; from fo1_data.cli.main import main; sys.argv[0] = 'fo1'; main()"
NAMES = ["Python", "Disk", "Memory", "GPU", "Ray", "Ray ports", "Chromium", "Label Studio"]


def fo1(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RUN, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def test_each_part_of_the_machine_is_a_line_and_an_entry() -> None:
    document = json.loads(fo1("doctor", "--json").stdout)
    assert [check["name"] for check in document["checks"]] == NAMES
    assert document["ok"] == all(check["state"] != "problem" for check in document["checks"])
    lines = fo1("doctor").stdout.splitlines()
    assert len(lines) == len(NAMES)
    assert all(name in line for name, line in zip(NAMES, lines, strict=True))


def test_an_unreachable_label_studio_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FO1_LABEL_STUDIO_URL", "http://127.0.0.1:9")
    done = fo1("doctor")
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if "Label Studio" in line]
    assert line.startswith("problem")
    assert "http://127.0.0.1:9" in line


def test_a_machine_without_anything_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("FO1_LABEL_STUDIO_URL", raising=False)
    states = {check.name: check.state for check in doctor.check_machine()}
    assert (states["GPU"], states["Chromium"], states["Label Studio"]) == ("note", "note", "note")


def test_the_shell_completes_commands() -> None:
    done = fo1("--help")
    assert "--install-completion" in done.stdout
