"""`fo1 keys create|list|revoke`: the keys of the service, in its database. Needs no running service."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fo1_data.cli.output import JsonOption, emit, say
from fo1_data.cli.service_database import in_database

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

app = typer.Typer(help="Create, list and revoke keys of the service.", no_args_is_help=True)


@app.command("create")
def create(
    scope: Annotated[
        list[str], typer.Option(help="Scope of the key: read, label, review or admin. May be repeated.")
    ],
    name: Annotated[str, typer.Option(help="Name of the key in the list, such as its owner.")] = "",
    project: Annotated[
        str | None,
        typer.Option(
            help="Project of the key, made if there is none of this name. Default: the project `default`, "
            "and for an admin key the whole service."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Create a key and print it. It cannot be shown again."""

    async def work(session: "AsyncSession") -> dict[str, Any]:
        from services.security.keys import create_key
        from services.security.projects import create_project, find_project

        owner, is_new = None, False
        if project is not None:
            owner = await find_project(session, project)
            is_new = owner is None
            owner = owner or await create_project(session, project)
        scopes = [part for text in scope for part in text.split(",")]
        key = await create_key(session, scopes, name, owner.id if owner else None)
        if is_new:
            say(f"made the project {project}")
        return {"key": key.key, "id": key.id, "scopes": key.scopes, "project": project}

    emit(_in_database(work), as_json)


@app.command("list")
def list_all(as_json: JsonOption = False) -> None:
    """List all keys, without their secrets."""

    async def work(session: "AsyncSession") -> dict[str, Any]:
        from services.security.keys import list_keys
        from services.security.projects import list_projects

        names = {project.id: project.name for project in await list_projects(session)}
        keys = await list_keys(session)
        return {"keys": [_key_view(key, names.get(key.project_id or "")) for key in keys]}

    document = _in_database(work)
    emit(document, as_json, "\n".join(_line(key) for key in document["keys"]) or "no keys")


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(help="Id of the key, as in `fo1 keys list`.")],
    as_json: JsonOption = False,
) -> None:
    """Revoke a key. This cannot be undone."""

    async def work(session: "AsyncSession") -> dict[str, Any]:
        from services.security.keys import revoke_key
        from services.security.projects import get_project

        key = await revoke_key(session, key_id)
        project = await get_project(session, key.project_id or "")
        return _key_view(key, project.name if project else None)

    emit(_in_database(work), as_json)


def _line(key: dict[str, Any]) -> str:
    state = "revoked" if key["revoked_at"] else "valid  "
    project = key["project"] or "whole service"
    return f"{key['id']}  {state}  {','.join(key['scopes']):<12} {project:<14} {key['name']}".rstrip()


def _key_view(key: Any, project: str | None) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": key.scopes,
        "project": project,
        "created_at": key.created_at.isoformat(),
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
    }


def _in_database(work: "Callable[[AsyncSession], Awaitable[dict[str, Any]]]") -> dict[str, Any]:
    from services.settings import load_settings

    return in_database(load_settings(), work)
