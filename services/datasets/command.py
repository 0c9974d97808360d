"""Runs an `fo1` command in a process of its own: heavy work must not hold up the service's event loop."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from fo1_data.errors import ConfigError, Fo1Error
from services.problems import http_message

# What of the service's environment a command gets; no secret of the service is among it.
_PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "HF_HUB_OFFLINE", "FO1_CACHE_DIR")
_PASSED_PREFIXES = ("AWS_", "GOOGLE_")


async def run_fo1(arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Run `fo1 ARGUMENTS --json` and return what it prints. A cancelled call ends the process.

    Raises ConfigError if the command refuses its arguments, Fo1Error if it fails; both with its own line.
    """
    passed = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED or name.startswith(_PASSED_PREFIXES)
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fo1_data.cli.main", *arguments, "--json",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**passed, "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip
    try:
        output, messages = await process.communicate()
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode == 0:
        document: dict[str, Any] = json.loads(output)
        return document
    raise (ConfigError if process.returncode == 2 else Fo1Error)(_reason(messages.decode(errors="replace")))


def _reason(messages: str) -> str:
    lines = [line.strip() for line in messages.splitlines() if line.strip()]
    own = [line.removeprefix("fo1: ") for line in lines if line.startswith("fo1: ")]
    return http_message((own or lines or ["the command ended without a word"])[-1])[:500]
