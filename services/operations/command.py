"""Runs a command of `fo1` in a process of its own, limited to the storage roots of a project.

So it cannot hold up requests, and reads nothing outside the roots (`fo1_data.storage.reach`).
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fo1_data.errors import Fo1Error, RunError
from fo1_data.storage.reach import PUBLIC_ONLY, ROOTS
from services.problems import Problem, http_message

MAX_RESULT_BYTES = 64 * 2**20
# The environment of commands beside which requests are answered.
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
_MAX_LINE_CHARACTERS = 500
_OWN_LINE = "fo1: "
_KEPT_VARIABLES = ("FO1_CACHE_DIR",)


class Command:
    """One command. `folder`: where its output goes; it exists."""

    def __init__(
        self, arguments: Sequence[str], folder: Path, roots: Sequence[str], public_only: bool
    ) -> None:
        self._arguments, self._output = list(arguments), folder / "output.json"
        self._environment = _environment(roots, public_only)
        self._process: asyncio.subprocess.Process | None = None
        self._last_line = self._reason = ""

    async def run(
        self,
        variables: Mapping[str, str] | None = None,
        show: Callable[[str], Awaitable[None]] | None = None,
    ) -> dict[str, Any]:
        """Run the command and return its JSON document. A cancelled call ends the process.

        `variables`: further environment variables. `show` gets each line that the command writes for people.
        Raises RunError with the reason if the command makes no document.
        """
        try:
            async for line in self._lines(variables or {}):
                if show is not None:
                    await show(line)
            return await self._result()
        finally:
            self.stop()

    def stop(self) -> None:
        """End the command now, with every process that it has started."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _lines(self, variables: Mapping[str, str]) -> AsyncIterator[str]:
        command = [sys.executable, "-m", "fo1_data.cli.main", *self._arguments, "--json"]
        with self._output.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.PIPE,
                env={**self._environment, **variables},
                start_new_session=True,
            )
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            text = line.decode(errors="replace").strip()[:_MAX_LINE_CHARACTERS]
            if text:
                self._last_line = text
                if text.startswith(_OWN_LINE):
                    self._reason = text.removeprefix(_OWN_LINE)
                yield text

    async def _result(self) -> dict[str, Any]:
        assert self._process is not None
        code = await self._process.wait()
        try:
            document = await asyncio.to_thread(self._read)
        except ValueError:
            document = None
        if document is None:
            raise RunError(self._reason or self._last_line or f"the command ended with exit code {code}")
        return document

    def _read(self) -> dict[str, Any] | None:
        if self._output.stat().st_size > MAX_RESULT_BYTES:
            raise RunError(
                f"the result is larger than {MAX_RESULT_BYTES / 2**20:.0f} MiB: use the command line"
            )
        document = json.loads(self._output.read_bytes() or b"null")
        return document if isinstance(document, dict) else None


def failure_text(error: Exception) -> str:
    """Return why a command, or what follows it, failed: one line that names options as JSON fields."""
    text = " ".join(http_message(error.detail if isinstance(error, Problem) else str(error)).split())[:1000]
    return text if isinstance(error, Fo1Error | Problem) else f"{type(error).__name__}: {text}"


def _environment(roots: Sequence[str], public_only: bool) -> dict[str, str]:
    """Return the environment without the service's own settings, which hold its secrets."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("FO1_") or name in _KEPT_VARIABLES
    }
    return {**kept, ROOTS: json.dumps(list(roots)), PUBLIC_ONLY: "1" if public_only else "0"}
