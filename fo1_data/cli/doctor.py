"""`fo1 doctor`: checks the machine in a few seconds, with one line for each check. Loads no model."""

import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer

from fo1_data.available_memory import available_memory_bytes
from fo1_data.cli.output import JsonOption, emit
from fo1_data.cli.plan import check_label_studio

MIN_PYTHON = (3, 11)
MIN_FREE_DISK_BYTES = 2 * 2**30
MIN_FREE_MEMORY_BYTES = 2 * 2**30
# What the head of a Ray cluster listens on by default. A local Ray takes free ports of its own.
RAY_PORTS = {6379: "head", 8265: "dashboard", 10001: "client"}
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_COMMAND_TIMEOUT_S = 5.0


class State(StrEnum):
    """What a check found. A note is about a part that is not needed to label."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Check:
    """One line of the doctor."""

    name: str
    state: State
    message: str


def doctor(as_json: JsonOption = False) -> None:
    """Check this machine: Python, disk, memory, GPU, Ray, Chromium and Label Studio.

    Exit code 1 if a problem is found.
    """
    checks = list(check_machine())
    is_well = all(check.state is not State.PROBLEM for check in checks)
    emit({"ok": is_well, "checks": [asdict(check) for check in checks]}, as_json, _table(checks))
    if not is_well:
        raise typer.Exit(1)


def check_machine() -> Iterator[Check]:
    """Every check, in the order in which a person reads them."""
    yield _python()
    yield _disk()
    yield _memory()
    yield _gpu()
    yield from _ray()
    yield _chromium()
    yield _label_studio()


def _python() -> Check:
    state = State.OK if sys.version_info >= MIN_PYTHON else State.PROBLEM
    needed = "" if state is State.OK else f"; {'.'.join(map(str, MIN_PYTHON))} or newer is needed"
    return Check("Python", state, f"{platform.python_version()} at {sys.executable}{needed}")


def _disk() -> Check:
    folder = Path.cwd()
    free = shutil.disk_usage(folder).free
    state = State.OK if free >= MIN_FREE_DISK_BYTES else State.PROBLEM
    return Check("Disk", state, f"{_gib(free)} free at {folder}")


def _memory() -> Check:
    free = available_memory_bytes()
    if free is None:
        return Check("Memory", State.NOTE, "this system does not say how much is available")
    state = State.OK if free >= MIN_FREE_MEMORY_BYTES else State.PROBLEM
    return Check("Memory", state, f"{_gib(free)} available, {os.cpu_count()} CPUs")


def _gpu() -> Check:
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=True, timeout=_COMMAND_TIMEOUT_S)
    except FileNotFoundError:
        return Check("GPU", State.NOTE, "none found: models run on the CPU")
    except (OSError, subprocess.SubprocessError) as error:
        return Check("GPU", State.PROBLEM, f"nvidia-smi fails: {str(error).splitlines()[0]}")
    return Check("GPU", State.OK, "; ".join(done.stdout.strip().splitlines()))


def _ray() -> Iterator[Check]:
    try:
        yield Check("Ray", State.OK, f"{version('ray')} is installed")
    except PackageNotFoundError:
        yield Check("Ray", State.NOTE, "not installed: only --address in-process works")
        return
    taken = [f"{port} ({use})" for port, use in RAY_PORTS.items() if not _is_free(port)]
    if taken:
        message = f"in use: {', '.join(taken)}; a cluster's head here needs others, a local Ray does not"
        yield Check("Ray ports", State.NOTE, message)
    else:
        yield Check("Ray ports", State.OK, f"free: {', '.join(map(str, RAY_PORTS))}")


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _chromium() -> Check:
    path = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if path is None:
        return Check("Chromium", State.NOTE, "not found: only tests in a browser need it")
    return Check("Chromium", State.OK, path)


def _label_studio() -> Check:
    found = check_label_studio()
    if not found["configured"]:
        return Check("Label Studio", State.NOTE, "not configured (FO1_LABEL_STUDIO_URL)")
    answers = {name: found.get(name) for name in ("reachable", "token_good", "images_load")}
    failed = [name.replace("_", " ") for name, answer in answers.items() if answer is False]
    if "problem" in found or failed:
        reason = found.get("problem") or f"not {', not '.join(failed)}"
        return Check("Label Studio", State.PROBLEM, f"{found['url']}: {reason}")
    return Check("Label Studio", State.OK, f"{found['url']} answers and takes the token")


def _table(checks: list[Check]) -> str:
    width = max(len(check.name) for check in checks)
    return "\n".join(f"{check.state:<7}  {check.name:<{width}}  {check.message}" for check in checks)


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f} GiB"
