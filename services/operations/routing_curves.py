"""What each error bound would accept of a dataset (`fo1 route --curve`), kept under the service's home."""

import asyncio
import json
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fo1_data.confidence.calibration_file import read_calibration
from services.database.models import DatasetRecord
from services.datasets.project_roots import ProjectRoots
from services.operations.command import ONE_THREAD, Command
from services.settings import Settings

_AT_ONCE = 2


class RoutingCurves:
    """Computes curves, at most two at once. One object per application."""

    def __init__(self, settings: Settings, roots: ProjectRoots) -> None:
        self._settings, self._roots = settings, roots
        self._folder = settings.home / "cache" / "curves"
        self._tasks: dict[Path, asyncio.Task[dict[str, Any]]] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def curve(self, record: DatasetRecord, calibration: str) -> dict[str, Any] | None:
        """Return a `RoutingCurve` as JSON; None while it is being computed: ask again.

        Raises CalibrationError if the calibration cannot be read, RunError if it was made for other labels.
        """
        file = await asyncio.to_thread(self._file, record, calibration)
        with suppress(OSError, ValueError):
            found: dict[str, Any] = json.loads(await asyncio.to_thread(file.read_text))
            return found
        task = self._tasks.get(file)
        if task is None:
            task = self._tasks[file] = asyncio.create_task(self._compute(record, calibration, file))
        if not task.done():
            return None
        del self._tasks[file]
        return task.result()

    async def close(self) -> None:
        """End the processes at work."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _file(self, record: DatasetRecord, calibration: str) -> Path:
        """Return where the curve of this version and this calibration is kept. Reads the calibration."""
        _, digest = read_calibration(calibration)
        name = sha256(f"{record.id} {record.manifest_sha256} {digest}".encode()).hexdigest()[:32]
        return self._folder / f"{name}.json"

    async def _compute(self, record: DatasetRecord, calibration: str, file: Path) -> dict[str, Any]:
        self._folder.mkdir(parents=True, exist_ok=True)
        arguments = ["route", record.address, "--calibration", calibration, "--curve"]
        roots = await self._roots.addresses(record.project_id)
        public_only = not self._settings.allow_private_addresses
        async with self._slots:
            with TemporaryDirectory(dir=self._folder, prefix=".") as folder:
                document = await Command(arguments, Path(folder), roots, public_only).run(ONE_THREAD)
                written = Path(folder) / file.name
                await asyncio.to_thread(written.write_text, json.dumps(document))
                written.replace(file)
        return document
