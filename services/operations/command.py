"""Runs a command of `fo1` in a process of its own, limited to the storage roots of a project.

So it cannot hold up requests, and reads nothing outside the roots (`fo1_data.storage.reach`).
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fo1_data.errors import Fo1Error, RunError
from fo1_data.storage.reach import PUBLIC_ONLY, ROOTS

MAX_RESULT_BYTES = 64 * 2**20
_MAX_LINE_CHARACTERS = 500
_KEPT_VARIABLES = ("FO1_CACHE_DIR",)


class Command:
    """One command. `folder`: where its output goes; it exists. Ends with `stop`."""

    def __init__(
        self, arguments: Sequence[str], folder: Path, roots: Sequence[str], public_only: bool
    ) -> None:
        self._arguments, self._output = list(arguments), folder / "output.json"
        self._environment = _environment(roots, public_only)
        self._process: asyncio.subprocess.Process | None = None
        self._last_line = ""

    async def lines(self, more: Mapping[str, str] | None = None) -> AsyncIterator[str]:
        """Start the command; yield each line that it writes for people, until it ends.

        `more`: further environment variables.
        """
        command = [sys.executable, "-m", "fo1_data.cli.main", *self._arguments, "--json"]
        with self._output.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.PIPE,
                env={**self._environment, **(more or {})},
                start_new_session=True,
            )
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            text = line.decode(errors="replace").strip()[:_MAX_LINE_CHARACTERS]
            if text:
                self._last_line = text
                yield text

    async def result(self) -> dict[str, Any]:
        """Wait for the end; return the JSON document. Raises RunError with the reason if there is none."""
        assert self._process is not None
        code = await self._process.wait()
        try:
            document = await asyncio.to_thread(self._read)
        except ValueError:
            document = None
        if document is None:
            reason = self._last_line.removeprefix("fo1: ").removeprefix("error: ")
            raise RunError(reason or f"the command ended with exit code {code}")
        return document

    def stop(self) -> None:
        """End the command now."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    def _read(self) -> dict[str, Any] | None:
        if self._output.stat().st_size > MAX_RESULT_BYTES:
            raise RunError(
                f"the result is larger than {MAX_RESULT_BYTES / 2**20:.0f} MiB: use the command line"
            )
        document = json.loads(self._output.read_bytes() or b"null")
        return document if isinstance(document, dict) else None


def reason_of(error: Exception) -> str:
    """Return why an operation failed, in one line."""
    text = " ".join(str(error).split())[:1000]
    return text if isinstance(error, Fo1Error) else f"{type(error).__name__}: {text}"


def _environment(roots: Sequence[str], public_only: bool) -> dict[str, str]:
    """Return the environment without the service's own settings, which hold its secrets."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("FO1_") or name in _KEPT_VARIABLES
    }
    return {**kept, ROOTS: json.dumps(list(roots)), PUBLIC_ONLY: "1" if public_only else "0"}
