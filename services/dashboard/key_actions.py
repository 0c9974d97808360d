"""The page of keys and projects, and its forms."""

from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse, Response

from fo1_data.errors import ConfigError
from services.api.keys import KeyId, checked_roots
from services.context import Context, InContext
from services.dashboard.frame import render_form, require_scope
from services.dashboard.login import InVisitor, PostingVisitor, Visitor
from services.problems import KeptText, Problem
from services.security import keys, projects
from services.security.keys import NewKey, Scope

router = APIRouter(include_in_schema=False)


@router.get("/keys")
async def keys_page(visitor: InVisitor, context: InContext) -> Response:
    """The keys of the project; for an admin of the service, the projects too."""
    require_scope(visitor, Scope.ADMIN)
    return await _page(context, visitor)


@router.post("/keys")
async def create_key(
    visitor: PostingVisitor,
    context: InContext,
    scopes: Annotated[list[Scope], Form()] = [],  # noqa: B006 - FastAPI copies it
    name: Annotated[KeptText, Form(max_length=200)] = "",
) -> Response:
    """Create a key of the project, and show it this once."""
    require_scope(visitor, Scope.ADMIN)
    try:
        async with context.database.writing() as session:
            key = await keys.create_key(session, scopes, name.strip(), visitor.project_id)
    except ConfigError as error:
        return await _page(context, visitor, problem=Problem(422, str(error)))
    return await _page(context, visitor, key)


@router.post("/keys/{key_id}/revoke")
async def revoke_key(visitor: PostingVisitor, context: InContext, key_id: KeyId) -> Response:
    """Revoke a key of the project."""
    require_scope(visitor, Scope.ADMIN)
    try:
        async with context.database.writing() as session:
            await keys.revoke_key(session, key_id, visitor.project_id)
    except ConfigError:
        raise Problem(404, f"no key has the id {key_id}") from None
    return RedirectResponse("/keys", 303)


@router.post("/projects")
async def create_project(
    visitor: PostingVisitor,
    context: InContext,
    name: Annotated[str, Form(max_length=200)] = "",
    roots: Annotated[str, Form(max_length=4000)] = "",
) -> Response:
    """Create a project with the storage roots of the lines, if there are any."""
    if not visitor.caller.of_service:
        raise Problem(403, "only an admin key of the whole service may create projects")
    try:
        lines = [line.strip() for line in roots.splitlines() if line.strip()]
        checked = await checked_roots(context.settings.roots, lines)
        async with context.database.writing() as session:
            await projects.create_project(session, name.strip(), checked)
    except ConfigError as error:
        return await _page(context, visitor, problem=Problem(422, str(error)))
    except Problem as problem:
        return await _page(context, visitor, problem=problem)
    return RedirectResponse("/keys", 303)


async def _page(
    context: Context, visitor: Visitor, new: NewKey | None = None, problem: Problem | None = None
) -> Response:
    async with context.database.reading() as session:
        listed = await keys.list_keys(session, visitor.project_id)
        found = await projects.list_projects(session) if visitor.caller.of_service else []
    return render_form(
        context,
        visitor,
        "Keys",
        "keys.html",
        problem,
        keys=listed,
        projects=found,
        scopes=list(Scope),
        new=new,
    )
