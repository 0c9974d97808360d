"""`/v1/keys` and `/v1/projects`: the keys of a project, and the projects of the service."""

import asyncio
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from fo1_data.errors import ConfigError
from services.api.dependencies import Admin, ReadSession, WriteSession
from services.api.documented import CONFLICT, NOT_FOUND
from services.context import InContext
from services.database.models import ApiKey, Project
from services.idempotency import IdempotencyKey, answer_once, earlier_answer
from services.problems import KeptText, Problem
from services.security import keys, projects
from services.security.keys import Scope
from services.storage_roots import OutsideRoots, StorageRoots

router = APIRouter(prefix="/v1", tags=["keys and projects"])
KeyId = Annotated[str, Path(pattern=r"^[0-9a-f]{12}$")]


class KeyRequest(BaseModel):
    """A new key of the caller's project."""

    model_config = ConfigDict(extra="forbid")

    scopes: list[Scope] = Field(min_length=1, max_length=len(Scope))
    name: KeptText = Field(default="", max_length=200, description="Name in lists, such as the key's owner.")


class KeyView(BaseModel):
    """A key, without its secret."""

    id: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    revoked_at: datetime | None

    @classmethod
    def of(cls, key: ApiKey) -> "KeyView":
        """Return the view of a row."""
        return cls(**{name: getattr(key, name) for name in cls.model_fields})


class NewKeyView(BaseModel):
    """A new key. It cannot be shown again, so repeating an `Idempotency-Key` shows it without the secret."""

    key: str | None
    id: str
    name: str
    scopes: list[Scope]


class KeyList(BaseModel):
    """All keys of a project."""

    items: list[KeyView]


class ProjectRequest(BaseModel):
    """A new project."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=projects.NAME_PATTERN)
    storage_roots: list[str] | None = Field(
        default=None,
        max_length=100,
        description="Where the project may read and write, within the roots of the service. Null: all of "
        "these, but nothing that another project has registered or writes to.",
    )


class ProjectView(BaseModel):
    """A project."""

    id: str
    name: str
    storage_roots: list[str] | None
    created_at: datetime

    @classmethod
    def of(cls, project: Project) -> "ProjectView":
        """Return the view of a row."""
        return cls(**{name: getattr(project, name) for name in cls.model_fields})


class ProjectList(BaseModel):
    """The projects that the caller may work in."""

    items: list[ProjectView]


@router.get("/keys")
async def list_keys(caller: Admin, session: ReadSession) -> KeyList:
    """The keys of the project, oldest first. Keys of the whole service are not among them."""
    return KeyList(items=[KeyView.of(key) for key in await keys.list_keys(session, caller.project_id)])


@router.post("/keys", status_code=201, response_model=NewKeyView)
async def create_key(
    caller: Admin, body: KeyRequest, context: InContext, request: Request, key: IdempotencyKey = None
) -> Response:
    """Create a key of the project. Its secret is shown in this answer only."""
    earlier = await earlier_answer(context.database, caller, request, key, body)
    if earlier is not None:
        return earlier
    async with context.database.writing() as session:
        secret: list[str] = []

        async def create() -> NewKeyView:
            new = await keys.create_key(session, body.scopes, body.name, caller.project_id)
            secret.append(new.key)
            return NewKeyView(key=None, id=new.id, name=body.name, scopes=body.scopes)

        answer = await answer_once(session, caller, request, key, body, create)
    if not secret:
        return answer
    # The stored answer has no secret.
    view = NewKeyView.model_validate_json(bytes(answer.body))
    return Response(
        view.model_copy(update={"key": secret[0]}).model_dump_json(), 201, media_type="application/json"
    )


@router.post("/keys/{key_id}/revoke", responses=NOT_FOUND)
async def revoke_key(caller: Admin, session: WriteSession, key_id: KeyId) -> KeyView:
    """Revoke a key of the project for good. Its logins end too."""
    try:
        return KeyView.of(await keys.revoke_key(session, key_id, caller.project_id))
    except ConfigError:
        raise Problem(404, f"no key has the id {key_id}") from None


@router.get("/projects")
async def list_projects(caller: Admin, session: ReadSession) -> ProjectList:
    """All projects for an admin of the service, else the project of the key."""
    found = await projects.list_projects(session)
    return ProjectList(
        items=[
            ProjectView.of(project)
            for project in found
            if caller.of_service or project.id == caller.project_id
        ]
    )


@router.post("/projects", status_code=201, response_model=ProjectView, responses=CONFLICT)
async def create_project(
    caller: Admin, body: ProjectRequest, context: InContext, request: Request, key: IdempotencyKey = None
) -> Response:
    """Create a project, as an admin of the service. The header `Fo1-Project: NAME` then makes its keys."""
    if not caller.of_service:
        raise Problem(403, "only an admin key of the whole service may create projects")
    earlier = await earlier_answer(context.database, caller, request, key, body)
    if earlier is not None:
        return earlier
    roots = await checked_roots(context.settings.roots, body.storage_roots)

    async def create() -> ProjectView:
        try:
            return ProjectView.of(await projects.create_project(session, body.name, roots))
        except ConfigError as error:
            raise Problem(409, str(error)) from None

    async with context.database.writing() as session:
        return await answer_once(session, caller, request, key, body, create)


async def checked_roots(service_roots: tuple[str, ...], roots: list[str] | None) -> list[str] | None:
    """Return the roots of a project in one absolute form. Raises a Problem of 403 if one is outside."""
    if not roots:
        return None
    allowed = await asyncio.to_thread(StorageRoots, service_roots)
    try:
        return [await asyncio.to_thread(allowed.check, root) for root in roots]
    except OutsideRoots as error:
        raise Problem(403, f"storage_roots: {error}") from None
