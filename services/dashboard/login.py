"""Logins of the dashboard: by key, kept in a cookie; forms carry the login's token."""

from dataclasses import dataclass, replace
from typing import Annotated
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.dependencies import wrong_key
from services.context import Context, InContext
from services.database.models import ApiKey
from services.problems import Problem
from services.security.keys import Caller, Scope, caller_of, find_caller
from services.security.projects import get_project, list_projects
from services.security.sessions import COOKIE, Login, end_login, is_ended

router = APIRouter(include_in_schema=False)
PROJECT_COOKIE = "fo1_project"


@dataclass(frozen=True)
class Visitor:
    """A person who is logged in, the token of their forms, and the projects they may choose from."""

    caller: Caller
    login: Login
    token: str
    project: str
    projects: tuple[str, ...]

    @property
    def project_id(self) -> str:
        """The id of the project whose pages are shown."""
        return self.caller.project_id


class LoggedOut(Exception):
    """A page was requested without a login. `to`: that page. `part`: only a part of it was requested."""

    def __init__(self, to: str, part: bool) -> None:
        super().__init__(to)
        self.to, self.part = to, part


async def visitor(request: Request, context: InContext) -> Visitor:
    """Return the visitor of a page. Raises LoggedOut if nobody is logged in."""
    login = context.sessions.read(request.cookies.get(COOKIE))
    if login is not None:
        async with context.database.reading() as session:
            key = await session.get(ApiKey, login.key_id)
            if key is not None and key.revoked_at is None and not await is_ended(session, login):
                return await _visitor(session, request, caller_of(key), login, context)
    query = f"?{request.url.query}" if request.url.query else ""
    raise LoggedOut(request.url.path + query, "hx-request" in request.headers)


async def visitor_if_any(request: Request, context: Context) -> Visitor | None:
    """Return the visitor of a page that needs no login; None without one, or if the database is away."""
    try:
        return await visitor(request, context)
    except (LoggedOut, SQLAlchemyError, OSError):
        return None


async def _visitor(
    session: AsyncSession, request: Request, caller: Caller, login: Login, context: Context
) -> Visitor:
    token = context.sessions.form_token(login)
    if not caller.of_service:
        project = await get_project(session, caller.project_id)
        name = project.name if project is not None else caller.project_id
        return Visitor(caller, login, token, name, (name,))
    projects = {project.name: project.id for project in await list_projects(session)}
    name = request.cookies.get(PROJECT_COOKIE, "")
    if name not in projects:  # never chosen
        name = next(name for name, project_id in projects.items() if project_id == caller.project_id)
    return Visitor(replace(caller, project_id=projects[name]), login, token, name, tuple(projects))


InVisitor = Annotated[Visitor, Depends(visitor)]


async def posting_visitor(
    request: Request, context: InContext, sender: InVisitor, token: Annotated[str, Form()] = ""
) -> Visitor:
    """Return the sender of a form. Raises a Problem of 403 if the form is forged."""
    refuse_foreign(request)
    if not context.sessions.is_form_token(sender.login, token):
        raise Problem(403, "this form is not of this login: go back, reload the page, try again")
    return sender


PostingVisitor = Annotated[Visitor, Depends(posting_visitor)]


def refuse_foreign(request: Request) -> None:
    """Raise a Problem of 403 if another site sent the form (browsers say so in a header)."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Problem(403, "forms are accepted from this site only")


async def logged_out(request: Request, error: Exception) -> Response:
    """Redirect a page requested without a login to the login; answer a part of a page with 401."""
    assert isinstance(error, LoggedOut)
    if error.part:
        return Response(status_code=401)
    return RedirectResponse(f"/login?to={quote(error.to, safe='')}", 303)


@router.get("/login")
async def login_page(context: InContext, to: str = "/") -> Response:
    """The login form."""
    return context.pages.render("login.html", error=None, to=_local_path(to))


@router.post("/login")
async def log_in(
    request: Request,
    context: InContext,
    key: Annotated[str, Form(max_length=500)] = "",
    to: Annotated[str, Form(max_length=8000)] = "/",
) -> Response:
    """Start a login with a key."""
    refuse_foreign(request)
    async with context.database.reading() as session:
        caller = await find_caller(session, key.strip())
    if caller is None or not caller.may(Scope.READ):
        problem = wrong_key(request, context)
        error = _error_text(problem)
        return context.pages.render("login.html", problem.status, error=error, to=_local_path(to))
    answer = RedirectResponse(_local_path(to), 303)
    sessions = context.sessions
    answer.set_cookie(
        COOKIE,
        sessions.cookie(sessions.start(caller.key_id)),
        max_age=sessions.lasts_s,
        httponly=True,
        samesite="lax",
        secure=_is_https(context),
    )
    return answer


@router.post("/project")
async def choose_project(
    sender: PostingVisitor, context: InContext, project: Annotated[str, Form(max_length=63)] = ""
) -> Response:
    """Show the pages of another project, to an admin of the service."""
    if project not in sender.projects:
        raise Problem(404, "no project has this name")
    answer = RedirectResponse("/", 303)
    answer.set_cookie(PROJECT_COOKIE, project, httponly=True, samesite="lax", secure=_is_https(context))
    return answer


@router.post("/logout")
async def log_out(sender: PostingVisitor, context: InContext) -> Response:
    """End the login, also for copies of its cookie."""
    async with context.database.writing() as session:
        await end_login(session, sender.login)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="lax")
    return answer


def _local_path(to: str) -> str:
    """Return `to` if it is a path of this site, else `/`."""
    parts = urlsplit(to)
    local = to.startswith("/") and not to.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return to if local and "\n" not in to and "\r" not in to else "/"


def _error_text(problem: Problem) -> str:
    if problem.status == 429:
        return "Too many wrong keys from this address: wait a minute."
    return "This key is unknown or revoked."


def _is_https(context: Context) -> bool:
    return context.settings.base_url.startswith("https://")
