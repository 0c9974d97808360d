"""Works on queued operations in three loops (plans, versions, routings), one at a time in each."""

import asyncio
import logging
import shutil
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from fo1_data.errors import Fo1Error, RunError
from schemas.jobs import RunConfig
from services.background import Loop
from services.database.engine import Database
from services.database.models import utc_now
from services.database.operation_tables import Operation, OperationKind, OperationState
from services.datasets import registry
from services.datasets import service as dataset_service
from services.datasets.indexer import Indexer
from services.datasets.project_roots import ProjectRoots
from services.jobs import opinion_servers
from services.jobs.ray_jobs import driver_files
from services.operations import repository
from services.operations.command import ONE_THREAD, Command, failure_text
from services.problems import Problem
from services.review import correction_repository
from services.settings import Settings

_POLL_S = 2.0
_SIGN_OF_LIFE_S = 5.0
_AGAIN_S = 1.0
_ABANDONED = timedelta(seconds=60)
_PAGE = 1000
_MOST_LISTED = 500
_log = logging.getLogger("fo1.service")


class OperationRunner:
    """Run its `loops`; call `wake` after an operation was queued, and `stop` before the loops end."""

    def __init__(self, settings: Settings, database: Database, roots: ProjectRoots, indexer: Indexer) -> None:
        self._settings, self._database, self._roots, self._indexer = settings, database, roots, indexer
        self._name = uuid.uuid4().hex
        self._commands: dict[str, Command] = {}
        self._stopping = False
        self.loops = [
            Loop("plans", lambda: self._step([OperationKind.PLAN]), _POLL_S),
            Loop("versions", lambda: self._step([OperationKind.MERGE, OperationKind.COMPARE]), _POLL_S),
            Loop("routings", lambda: self._step([OperationKind.ROUTE]), _POLL_S),
        ]

    def wake(self) -> None:
        """Start the next step now."""
        for loop in self.loops:
            loop.wake()

    def stop(self) -> None:
        """End what is at work; it fails and says so."""
        self._stopping = True
        for command in self._commands.values():
            command.stop()

    async def _step(self, kinds: Sequence[OperationKind]) -> bool:
        if self._stopping:
            return False
        async with self._database.writing() as session:
            abandoned = await repository.fail_abandoned(session, utc_now() - _ABANDONED)
            operation = await repository.claim(session, kinds, self._name)
        for operation_id in abandoned:
            await self._remove_folder(operation_id)
        if operation is None:
            return False
        folder, alive = self._folder(operation.id), asyncio.create_task(self._show_life(operation))
        try:
            await self._end(operation, await self._outcome(operation, folder))
        finally:
            alive.cancel()
            await self._remove_folder(operation.id)
        return True

    async def _outcome(self, operation: Operation, folder: Path) -> dict[str, Any]:
        """Work on an operation; return how it ended, as columns."""
        try:
            folder.mkdir(parents=True)
            return {"state": OperationState.SUCCEEDED, "result": await self._run(operation, folder)}
        except (Fo1Error, Problem, OSError) as error:
            reason = repository.STOPPED if self._stopping else failure_text(error)
            return {"state": OperationState.FAILED, "error": reason}
        except Exception as error:
            _log.exception("operation %s failed unexpectedly", operation.id)
            return {"state": OperationState.FAILED, "error": failure_text(error)}

    async def _end(self, operation: Operation, values: dict[str, Any]) -> None:
        """Store how an operation ended, once the database answers; not if it was given up as abandoned."""
        while True:
            try:
                await self._set(operation, finished_at=utc_now(), **values)
                return
            except (SQLAlchemyError, OSError):
                if self._stopping:
                    raise
            await asyncio.sleep(_AGAIN_S)

    def _folder(self, operation_id: str) -> Path:
        return self._settings.home / "operations" / operation_id

    async def _remove_folder(self, operation_id: str) -> None:
        await asyncio.to_thread(shutil.rmtree, self._folder(operation_id), ignore_errors=True)

    async def _run(self, operation: Operation, folder: Path) -> dict[str, Any]:
        work = {
            OperationKind.PLAN: self._plan,
            OperationKind.MERGE: self._merge,
            OperationKind.ROUTE: self._route,
            OperationKind.COMPARE: self._compare,
        }
        return await work[OperationKind(operation.kind)](operation, folder)

    async def _compare(self, operation: Operation, folder: Path) -> dict[str, Any]:
        request = operation.request
        document = await self._command(operation, folder, ["dataset", "diff", request["a"], request["b"]])
        return _shortened(document)

    async def _plan(self, operation: Operation, folder: Path) -> dict[str, Any]:
        """Check a run. Its place on the cluster was checked before; here it is checked without Ray."""
        config = RunConfig.model_validate(operation.request)
        settings = config.model_dump(mode="json", exclude_defaults=True)
        ((name, content),) = driver_files({**settings, "address": "in-process"}).items()
        await asyncio.to_thread((folder / name).write_bytes, content)
        variables = opinion_servers.variables(config, self._settings)
        if self._settings.label_studio_url is not None:
            token = self._settings.label_studio_token
            variables |= {
                "FO1_LABEL_STUDIO_URL": self._settings.label_studio_url,
                "FO1_LABEL_STUDIO_TOKEN": token.get_secret_value() if token is not None else "",
            }
        arguments = ["plan", "--config", str(folder / name)]
        if self._settings.ray_address is not None:  # the speed of this machine is not that of the cluster
            arguments.append("--no-measure")
        return await self._command(operation, folder, arguments, variables)

    async def _merge(self, operation: Operation, folder: Path) -> dict[str, Any]:
        request, corrections = operation.request, folder / "corrections.jsonl"
        num_corrections = await self._write_corrections(request["review"], corrections)
        if not num_corrections:
            raise RunError("the review has no corrections yet: pull it first")
        await self._tell(operation, f"{num_corrections} corrections")
        arguments = ["dataset", "merge", request["address"], "--out", request["out"]]
        document = await self._command(operation, folder, [*arguments, "--corrections", str(corrections)])
        return {**document, "dataset_id": await self._register_version(operation)}

    async def _route(self, operation: Operation, folder: Path) -> dict[str, Any]:
        request = operation.request
        arguments = ["route", request["address"], "--out", request["out"]]
        arguments += ["--calibration", request["calibration"]]
        arguments += ["--max-error", str(request["max_error"]), "--audit", str(request["audit"])]
        document = await self._command(operation, folder, arguments, ONE_THREAD)
        return {**document, "dataset_id": await self._register_version(operation)}

    async def _register_version(self, operation: Operation) -> str:
        """Register the version that an operation wrote; return its id."""
        roots, out = await self._roots.of(operation.project_id), operation.request["out"]
        address, manifest = await asyncio.to_thread(dataset_service.read_registered, out, roots)
        async with self._database.writing() as session:
            record = await registry.register(
                session, address, manifest, operation.project_id, operation.created_by
            )
        self._indexer.wake()
        return record.id

    async def _write_corrections(self, review_id: str, path: Path) -> int:
        after, total = None, 0
        with path.open("w", encoding="utf-8") as file:
            while True:
                async with self._database.reading() as session:
                    rows = await correction_repository.list_corrections(
                        session, review_id, False, after, _PAGE
                    )
                file.writelines(f"{document}\n" for _, document in rows)
                total += len(rows)
                if len(rows) < _PAGE:
                    return total
                after = rows[-1][0]

    async def _command(
        self,
        operation: Operation,
        folder: Path,
        arguments: Sequence[str],
        variables: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Run a command for an operation: its lines are the progress, its document is returned."""
        roots = [*await self._roots.addresses(operation.project_id), str(folder)]
        if self._stopping:
            raise RunError(repository.STOPPED)
        command = Command(arguments, folder, roots, not self._settings.allow_private_addresses)
        self._commands[operation.id] = command
        shown_s = 0.0

        async def show(line: str) -> None:
            nonlocal shown_s
            if time.monotonic() - shown_s > 1.0:
                shown_s = time.monotonic()
                await self._tell(operation, line)

        try:
            return await command.run(variables, show)
        finally:
            self._commands.pop(operation.id, None)

    async def _show_life(self, operation: Operation) -> None:
        """Show that this process is at work; end the command if another took it for abandoned."""
        while True:
            await asyncio.sleep(_SIGN_OF_LIFE_S)
            with suppress(SQLAlchemyError, OSError):  # the next sign may arrive
                if not await self._set(operation, worker_seen_at=utc_now()):
                    break
        if (command := self._commands.get(operation.id)) is not None:
            command.stop()

    async def _tell(self, operation: Operation, line: str) -> None:
        """Store the progress, unless the database is away for the moment."""
        with suppress(SQLAlchemyError, OSError):
            await self._set(operation, progress=line, worker_seen_at=utc_now())

    async def _set(self, operation: Operation, **values: Any) -> bool:
        async with self._database.writing() as session:
            return await repository.set_own(session, operation.id, self._name, **values)


def _shortened(difference: dict[str, Any]) -> dict[str, Any]:
    """Return a difference with its numbers, and at most _MOST_LISTED images of each list."""
    names = ("only_a", "only_b", "changed")
    kept = {name: difference[name][:_MOST_LISTED] for name in names}
    listed = {*kept["only_a"], *kept["only_b"], *(image["image_id"] for image in kept["changed"])}
    return {
        "equal": difference["equal"],
        **{f"num_{name}": len(difference[name]) for name in names},
        **kept,
        "files": {image_id: name for image_id, name in difference["files"].items() if image_id in listed},
        "merged": difference["merged"],
    }
