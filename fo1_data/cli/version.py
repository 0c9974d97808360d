"""`fo1 --version`: the version of the installed package, and the commit if it runs from a Git checkout."""

import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer

_ROOT = Path(__file__).resolve().parents[2]
_GIT_TIMEOUT_S = 5


def print_version(requested: bool) -> None:
    """Print one line and end the command, if `--version` was given."""
    if not requested:
        return
    try:
        number = version("fo1-data")
    except PackageNotFoundError:
        number = "of unknown version"
    commit = checkout_commit()
    print(f"fo1 {number}" + (f" (commit {commit})" if commit else ""))
    raise typer.Exit


def checkout_commit() -> str | None:
    """The checked-out commit, shortened; None if this is no checkout or Git is not installed."""
    if not (_ROOT / ".git").exists():
        return None
    command = ["git", "-C", str(_ROOT), "rev-parse", "--short=12", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_GIT_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
