"""Where each project may read and write: its own storage roots, or else those of the service.

What people name in a request may not lie in a folder of another project either: neither in one that it has
registered as a dataset nor in one that a job or an operation of it writes to.
"""

import asyncio
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.database.engine import Database
from services.database.models import DatasetRecord
from services.datasets.writers import folders_of_others
from services.security import projects
from services.storage_roots import StorageRoots


class ProjectRoots:
    """The storage roots of the projects. The roots of a project never change, so they are read once."""

    def __init__(self, database: Database, service_roots: tuple[str, ...]) -> None:
        self._database, self._service_roots = database, service_roots
        self._roots: dict[str, tuple[str, ...]] = {}
        self._checked: dict[str, StorageRoots] = {}

    async def addresses(self, project_id: str) -> tuple[str, ...]:
        """Return the roots of a project as they were written."""
        if project_id not in self._roots:
            async with self._database.reading() as session:
                project = await projects.get_project(session, project_id)
            own = project.storage_roots if project is not None else None
            self._roots[project_id] = tuple(own) if own else self._service_roots
        return self._roots[project_id]

    async def of(self, project_id: str) -> StorageRoots:
        """Return the roots of a project, to check what its datasets name."""
        if project_id not in self._checked:
            addresses = await self.addresses(project_id)
            self._checked[project_id] = await asyncio.to_thread(StorageRoots, addresses)
        return self._checked[project_id]

    async def for_requests(self, project_id: str) -> StorageRoots:
        """Return the roots of a project without the folders of others, to check what people name."""
        roots = await self.of(project_id)
        async with self._database.reading() as session:
            places = await _places_of_others(session, project_id)
        return await asyncio.to_thread(roots.without, places) if places else roots


async def _places_of_others(session: AsyncSession, project_id: str) -> Sequence[str]:
    registered = select(DatasetRecord.address).where(DatasetRecord.project_id != project_id)
    own = select(DatasetRecord.address).where(DatasetRecord.project_id == project_id)
    others = {*(await session.scalars(registered)).all(), *await folders_of_others(session, project_id)}
    return list(others - set((await session.scalars(own)).all())) if others else []
