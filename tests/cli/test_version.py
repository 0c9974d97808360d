"""`fo1 --version` says which code runs."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_it_prints_version_and_commit_and_needs_no_command() -> None:
    command = [sys.executable, "-m", "fo1_data.cli.main", "--version"]
    process = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    expected = rf"fo1 {re.escape(version('fo1-data'))}"
    if (ROOT / ".git").exists():
        expected += r" \(commit [0-9a-f]{12,}\)"
    assert re.fullmatch(expected + "\n", process.stdout)
    assert process.stderr == ""
