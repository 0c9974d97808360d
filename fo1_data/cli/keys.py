"""`fo1 keys create|list|revoke`: the keys of the service, in its database (no running service needed)."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fo1_data.cli.output import JsonOption, emit
from fo1_data.cli.service_database import in_database

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

app = typer.Typer(help="Keys of the service: create, list, revoke.", no_args_is_help=True)


@app.command("create")
def create(
    scope: Annotated[list[str], typer.Option(help="read, label, review or admin; may be repeated.")],
    name: Annotated[str, typer.Option(help="Whose it is, for the list.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Make a key; it is shown this once."""

    async def work(session: "AsyncSession") -> dict[str, Any]:
        from services.security.keys import create_key

        made = await create_key(session, [part for given in scope for part in given.split(",")], name)
        return {"key": made.key, "id": made.id, "scopes": made.scopes}

    emit(_in_database(work), as_json)


@app.command("list")
def list_all(as_json: JsonOption = False) -> None:
    """All keys, without their secrets."""

    async def work(session: "AsyncSession") -> dict[str, Any]:
        from services.security.keys import list_keys

        return {"keys": [_shown(key) for key in await list_keys(session)]}

    document = _in_database(work)
    emit(document, as_json, "\n".join(_line(key) for key in document["keys"]) or "no keys")


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(help="The id, as fo1 keys list shows it.")],
    as_json: JsonOption = False,
) -> None:
    """End a key for good."""

    async def work(session: "AsyncSession") -> dict[str, Any]:
        from services.security.keys import revoke_key

        return _shown(await revoke_key(session, key_id))

    emit(_in_database(work), as_json)


def _line(key: dict[str, Any]) -> str:
    state = "revoked" if key["revoked_at"] else "valid  "
    return f"{key['id']}  {state}  {','.join(key['scopes']):<12} {key['name']}".rstrip()


def _shown(key: Any) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": key.scopes,
        "created_at": key.created_at.isoformat(),
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
    }


def _in_database(work: "Callable[[AsyncSession], Awaitable[dict[str, Any]]]") -> dict[str, Any]:
    from services.settings import load_settings

    return in_database(load_settings(), work)
