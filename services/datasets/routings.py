"""New versions of datasets with an error bound of a person's choice, and the curve to choose it by.

Both are `fo1 route` in a process of its own. A curve is kept under the service's home, by dataset and
calibration. A routing is a row; the process that works on it gives a sign of life, and one whose process
ended is shown as failed.
"""

import asyncio
import json
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from fo1_data.confidence.calibration_file import read_calibration
from fo1_data.errors import Fo1Error
from fo1_data.storage.reach import PUBLIC_ONLY, ROOTS
from services.database.engine import Database
from services.database.models import DatasetRecord, Routing, RoutingState, now
from services.datasets import registry
from services.datasets.command import run_fo1
from services.datasets.project_roots import ProjectRoots
from services.datasets.service import read_registered
from services.problems import Problem
from services.settings import Settings

_SIGN_EVERY_S = 5.0
_LOST_AFTER = timedelta(seconds=60)
_AT_ONCE = 2


class Routings:
    """Makes curves and routings, at most two at once. One object per application."""

    def __init__(self, settings: Settings, database: Database, roots: ProjectRoots) -> None:
        self._settings, self._database, self._roots = settings, database, roots
        self._curves: dict[Path, asyncio.Task[str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def curve(self, record: DatasetRecord, calibration: str) -> dict[str, Any] | None:
        """Return a `RoutingCurve` as JSON; None while it is being computed: ask again.

        Raises CalibrationError if the calibration cannot be read or was made for other labels.
        """
        file = await asyncio.to_thread(self._curve_file, record, calibration)
        with suppress(OSError, ValueError):
            found: dict[str, Any] = json.loads(await asyncio.to_thread(file.read_text))
            return found
        task = self._curves.get(file)
        if task is None:
            task = self._curves[file] = asyncio.create_task(self._make_curve(record, calibration, file))
        if not task.done():
            return None
        del self._curves[file]
        made: dict[str, Any] = json.loads(task.result())
        return made

    async def start(self, routing: Routing, record: DatasetRecord) -> None:
        """Work on a stored routing in the background."""
        task = asyncio.create_task(self._work(routing, record))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End the processes at work; their routings are shown as failed."""
        tasks = [*self._tasks, *self._curves.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _curve_file(self, record: DatasetRecord, calibration: str) -> Path:
        _, digest = read_calibration(calibration)
        name = sha256(f"{record.id} {record.manifest_sha256} {digest}".encode()).hexdigest()[:32]
        return self._settings.home / "cache" / "curves" / f"{name}.json"

    async def _make_curve(self, record: DatasetRecord, calibration: str, file: Path) -> str:
        arguments = ["route", record.address, "--calibration", calibration, "--curve"]
        async with self._slots:
            text = json.dumps(await run_fo1(arguments, await self._environment(record.project_id)))
        await asyncio.to_thread(_keep, file, text)
        return text

    async def _work(self, routing: Routing, record: DatasetRecord) -> None:
        sign = asyncio.create_task(self._give_signs(routing.id))
        changes: dict[str, Any]
        try:
            changes = {"made_dataset_id": await self._route(routing, record)}
            changes["state"] = RoutingState.SUCCEEDED
        except asyncio.CancelledError:
            changes = {"state": RoutingState.FAILED, "error": "the service was stopped meanwhile"}
            raise
        except (Fo1Error, Problem, OSError) as error:
            message = error.detail if isinstance(error, Problem) else str(error)
            changes = {"state": RoutingState.FAILED, "error": message}
        finally:
            sign.cancel()
            await asyncio.shield(self._store(routing.id, **changes))

    async def _route(self, routing: Routing, record: DatasetRecord) -> str:
        arguments = ["route", record.address, "--calibration", routing.calibration, "--out", routing.out]
        arguments += ["--max-error", f"{routing.max_error:g}", "--audit", f"{routing.audit:g}"]
        async with self._slots:
            await run_fo1(arguments, await self._environment(record.project_id))
        roots = await self._roots.of(record.project_id)
        address, manifest = await asyncio.to_thread(read_registered, routing.out, roots)
        async with self._database.writing() as session:
            made = await registry.register(session, address, manifest, record.project_id, routing.created_by)
            return made.id

    async def _environment(self, project_id: str) -> dict[str, str]:
        return {
            ROOTS: json.dumps(list(await self._roots.addresses(project_id))),
            PUBLIC_ONLY: "0" if self._settings.allow_private_addresses else "1",
        }

    async def _give_signs(self, routing_id: str) -> None:
        while True:
            await asyncio.sleep(_SIGN_EVERY_S)
            await self._store(routing_id, seen_at=now())

    async def _store(self, routing_id: str, **changes: Any) -> None:
        async with self._database.writing() as session:
            routing = await session.get(Routing, routing_id)
            for name, value in changes.items():
                setattr(routing, name, value)


def calibration_of(record: DatasetRecord) -> str | None:
    """Return where the dataset's calibration was read: by the routing that made it, else by its run."""
    routing, config = record.manifest.get("routing") or {}, record.manifest.get("config") or {}
    address = routing.get("calibration") or config.get("calibration")
    return address if isinstance(address, str) and address else None


def is_lost(routing: Routing) -> bool:
    """Return whether the process that worked on a routing has ended without a word."""
    return routing.state == RoutingState.RUNNING and now() - routing.seen_at > _LOST_AFTER


def _keep(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    written = file.with_suffix(".writing")
    written.write_text(text)
    written.replace(file)
