"""Projects: creates and finds them. Their names are unique and fit into a header and a path.

Every key works in one project at a time. A key of the whole service (an admin without a project) works in the
default project, or in the one that the header `Fo1-Project` names.
"""

import re
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from fo1_data.errors import ConfigError
from services.database.locks import lock_name
from services.database.models import DEFAULT_PROJECT, Project
from services.identifiers import new_id

PROJECT_HEADER = "Fo1-Project"
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"


async def create_project(
    session: AsyncSession, name: str, storage_roots: Sequence[str] | None = None
) -> Project:
    """Create a project. Raises ConfigError if the name is taken or not valid.

    `storage_roots`: absolute, checked by the caller to be within the roots of the service.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise ConfigError(
            f"{name!r} is not a name of a project: letters, digits, dots, dashes, underscores, at most 63"
        )
    await lock_name(session, f"project {name}")
    if await find_project(session, name) is not None:
        raise ConfigError(f"a project has the name {name} already")
    roots = list(storage_roots) if storage_roots else None
    project = Project(id=new_id("prj"), name=name, storage_roots=roots)
    session.add(project)
    await session.flush()
    return project


async def find_project(session: AsyncSession, name: str) -> Project | None:
    """Return the project with this name, or None."""
    return (await session.scalars(select(Project).where(Project.name == name))).first()


async def get_project(session: AsyncSession, project_id: str) -> Project | None:
    """Return the project with this id, or None."""
    return await session.get(Project, project_id)


async def list_projects(session: AsyncSession) -> Sequence[Project]:
    """Return all projects by name, the default one first."""
    query = select(Project).order_by(Project.id != DEFAULT_PROJECT, Project.name)
    return (await session.scalars(query)).all()
