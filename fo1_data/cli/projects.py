"""`fo1 projects create|list`: the projects of the service, in its database. Needs no running service."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fo1_data.cli.output import JsonOption, emit
from fo1_data.cli.service_database import in_database
from fo1_data.errors import ConfigError
from fo1_data.storage.addresses import normalise

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

app = typer.Typer(help="Create and list projects of the service.", no_args_is_help=True)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Name: letters, digits, dots, dashes, underscores.")],
    root: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder or URL, within those of the service, that the project may read and write. May be "
            "repeated. Default: all of the service's, without what other projects have registered."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Create a project. Nobody but its own keys, and admins of the service, sees what is in it."""
    from services.settings import load_settings
    from services.storage_roots import OutsideRoots, StorageRoots

    settings = load_settings()
    try:
        roots = [StorageRoots(settings.roots).check(normalise(address)) for address in root or []]
    except OutsideRoots as error:
        raise ConfigError(f"--root: {error}") from None

    async def work(session: "AsyncSession") -> dict[str, Any]:
        from services.security.projects import create_project

        return _project_view(await create_project(session, name, roots))

    emit(in_database(settings, work), as_json)


@app.command("list")
def list_all(as_json: JsonOption = False) -> None:
    """List all projects."""
    from services.settings import load_settings

    async def work(session: "AsyncSession") -> dict[str, Any]:
        from services.security.projects import list_projects

        return {"projects": [_project_view(project) for project in await list_projects(session)]}

    document = in_database(load_settings(), work)
    emit(document, as_json, "\n".join(_line(project) for project in document["projects"]))


def _line(project: dict[str, Any]) -> str:
    return f"{project['name']:<24} {', '.join(project['storage_roots'] or ['roots of the service'])}"


def _project_view(project: Any) -> dict[str, Any]:
    return {
        "id": project.id,
        "name": project.name,
        "storage_roots": project.storage_roots,
        "created_at": project.created_at.isoformat(),
    }
