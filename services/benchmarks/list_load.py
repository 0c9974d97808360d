"""Measures lists of samples over connections: a service in a process of its own, and clients beside it.

Each client asks for one page after another, 20 samples from a random place of the dataset, and waits for the
answer. The processor time is that of the service's process, so that the clients do not change it.
"""

import asyncio
import json
import os
import random
import statistics
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import psutil  # type: ignore[import-untyped]
from fastapi import FastAPI
from sqlalchemy import select

from services.context import Context
from services.database.models import DatasetRecord
from services.paging import cursor_of
from services.security.keys import Scope, create_key
from services.settings import Settings

_PAGE = 20


async def measure_load(app: FastAPI, clients: int, seconds: float, seed: int = 0) -> dict[str, Any]:
    """Load a service on the filled database of `app`; return its rate, processor time and waits."""
    context: Context = app.state.context
    async with context.database.writing() as session:
        key = (await create_key(session, [Scope.READ], "load")).key
        dataset_id, num_samples = (
            await session.execute(select(DatasetRecord.id, DatasetRecord.num_samples))
        ).one()
    waits_s: list[float] = []
    async with _service(context.settings) as (port, process):
        draw = random.Random(seed)
        started_s, end_s = time.perf_counter(), time.perf_counter() + seconds
        before_s = _cpu_s(process)

        async def client() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            while time.perf_counter() < end_s:
                cursor = cursor_of(draw.randrange(num_samples))
                path = f"/v1/datasets/{dataset_id}/samples?limit={_PAGE}&cursor={cursor}"
                sent_s = time.perf_counter()
                await _get(reader, writer, path, key)
                waits_s.append(time.perf_counter() - sent_s)
            writer.close()

        await asyncio.gather(*(client() for _ in range(clients)))
        used_s, took_s = _cpu_s(process) - before_s, time.perf_counter() - started_s
    waits_s.sort()
    return {
        "clients": clients,
        "seconds": round(took_s, 1),
        "requests": len(waits_s),
        "requests_per_s": round(len(waits_s) / took_s, 1),
        "requests_per_cpu_s": round(len(waits_s) / used_s, 1),
        "cpu_ms": round(1000 * used_s / len(waits_s), 2),
        "p50_ms": round(1000 * statistics.median(waits_s), 1),
        "p99_ms": round(1000 * waits_s[int(len(waits_s) * 0.99)], 1),
        "longest_ms": round(1000 * waits_s[-1], 1),
    }


def load_summary(figures: dict[str, Any]) -> str:
    """Return the figures of a load in one line."""
    return (
        f"{figures['clients']} clients for {figures['seconds']} s: {figures['requests_per_s']} requests/s, "
        f"{figures['cpu_ms']} ms of CPU each ({figures['requests_per_cpu_s']} a second of CPU), "
        f"p99 {figures['p99_ms']} ms, longest wait {figures['longest_ms']} ms"
    )


@asynccontextmanager
async def _service(settings: Settings) -> AsyncIterator[tuple[int, psutil.Process]]:
    """Serve the home and the database of `settings`; yield the port and the process."""
    variables = {"FO1_HOME": str(settings.home), "FO1_HOST": "127.0.0.1", "FO1_LOG_LEVEL": "info"}
    if settings.database_url:
        variables["FO1_DATABASE_URL"] = settings.database_url
    command = (sys.executable, "-m", "fo1_data.cli.main", "serve", "--port", "0", "--json")
    server = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **variables}, stdout=PIPE, stderr=DEVNULL
    )
    try:
        assert server.stdout is not None
        port = int(json.loads(await server.stdout.readline())["url"].rpartition(":")[2])
        await _ready(port)
        yield port, psutil.Process(server.pid)
    finally:
        with suppress(ProcessLookupError):
            server.terminate()
        await server.wait()


async def _ready(port: int) -> None:
    async with asyncio.timeout(60):
        while True:
            with suppress(OSError, asyncio.IncompleteReadError, AssertionError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                await _get(reader, writer, "/readyz", "")
                writer.close()
                return
            await asyncio.sleep(0.05)


async def _get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, key: str) -> None:
    """Read one answer on an open connection. Costs a fraction of a client library's processor time."""
    writer.write(f"GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {key}\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert head.startswith(b"http/1.1 200 "), head
    await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
