"""Who is at the dashboard: login by key, a cookie that says so, forms that carry their token."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from services.api.dependencies import wrong_key
from services.context import Context, InContext
from services.database.models import ApiKey
from services.problems import Problem
from services.security.keys import Caller, Scope, caller_of, find_caller
from services.security.sessions import COOKIE, Login

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class Visitor:
    """A person who is logged in, and the token that their forms carry."""

    caller: Caller
    login: Login
    token: str


class LoggedOut(Exception):
    """A page was asked for without a login; `to` is that page."""

    def __init__(self, to: str, part: bool) -> None:
        super().__init__(to)
        self.to, self.part = to, part


async def visitor(request: Request, context: InContext) -> Visitor:
    """Who asks for a page. Raises LoggedOut where nobody is logged in."""
    login = context.sessions.read(request.cookies.get(COOKIE))
    if login is not None:
        async with context.database.reading() as session:
            key = await session.get(ApiKey, login.key_id)
        if key is not None and key.revoked_at is None:
            return Visitor(caller_of(key), login, context.sessions.form_token(login))
    raise LoggedOut(request.url.path, "hx-request" in request.headers)


InVisitor = Annotated[Visitor, Depends(visitor)]


async def posting_visitor(
    request: Request, context: InContext, who: InVisitor, token: Annotated[str, Form()] = ""
) -> Visitor:
    """Who sends a form of ours. Raises a Problem of 403 on a forged one."""
    refuse_foreign(request)
    if not context.sessions.is_form_token(who.login, token):
        raise Problem(403, "this form is not one of this login: go back, reload the page, try again")
    return who


PostingVisitor = Annotated[Visitor, Depends(posting_visitor)]


def refuse_foreign(request: Request) -> None:
    """Raise a Problem of 403 where another site sent the form (browsers tell)."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Problem(403, "forms are taken from this site alone")


async def logged_out(request: Request, error: Exception) -> Response:
    """A page asked for without a login leads to the login; a part of a page says 401."""
    assert isinstance(error, LoggedOut)
    if error.part:
        return Response(status_code=401)
    return RedirectResponse(f"/login?to={quote(error.to, safe='')}", 303)


@router.get("/login")
async def login_page(context: InContext, to: str = "/") -> Response:
    """The form."""
    return context.pages.render("login.html", wrong=None, to=_own(to))


@router.post("/login")
async def log_in(
    request: Request,
    context: InContext,
    key: Annotated[str, Form(max_length=500)] = "",
    to: Annotated[str, Form(max_length=500)] = "/",
) -> Response:
    """Start a login with a key."""
    refuse_foreign(request)
    async with context.database.reading() as session:
        caller = await find_caller(session, key.strip())
    if caller is None or not caller.may(Scope.READ):
        problem = wrong_key(request, context)
        return context.pages.render("login.html", problem.status, wrong=_told(problem), to=_own(to))
    answer = RedirectResponse(_own(to), 303)
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


@router.post("/logout")
async def log_out(who: PostingVisitor) -> Response:
    """End the login."""
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="lax")
    return answer


def _own(to: str) -> str:
    """A path of this site; anything else leads to the start."""
    parts = urlsplit(to)
    own = to.startswith("/") and not to.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return to if own and "\n" not in to and "\r" not in to else "/"


def _told(problem: Problem) -> str:
    return (
        "Too many wrong keys from here: wait a minute."
        if problem.status == 429
        else "No such key, or revoked."
    )


def _is_https(context: Context) -> bool:
    return context.settings.base_url.startswith("https://")
