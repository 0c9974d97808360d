"""The frame around every page of the dashboard, and the check of a visitor's scope."""

from typing import Any

from fastapi import Request
from fastapi.responses import Response

from services.context import Context, context_of
from services.dashboard.login import Visitor, visitor_if_any
from services.problems import Problem
from services.security.keys import Scope

_SECTIONS = (("Jobs", "/jobs"), ("Datasets", "/datasets"), ("Reviews", "/reviews"))


def render_page(
    context: Context, visitor: Visitor | None, section: str, template: str, status: int = 200, **values: Any
) -> Response:
    """Render a whole page: the template with its own values and those of the frame.

    `visitor` None: the page has no navigation. `section`: the page of the navigation that it belongs to.
    """
    login, token = (visitor.login, visitor.token) if visitor is not None else (None, "")
    values |= {"login": login, "token": token, "section": section, "visitor": visitor}
    return context.pages.render(template, status, base=context.settings.base_url, **values)


def render_form(
    context: Context, visitor: Visitor, section: str, template: str, problem: Problem | None, **values: Any
) -> Response:
    """Render the page of a form: with what was wrong with it when it was sent, and that status."""
    status, detail = (problem.status, problem.detail) if problem is not None else (200, None)
    return render_page(context, visitor, section, template, status, problem=detail, **values)


async def problem_page(request: Request, status: int, title: str, detail: str) -> Response:
    """Render the page of an error, with the navigation if the visitor is logged in."""
    context = context_of(request)
    visitor = await visitor_if_any(request, context)
    section = next((name for name, path in _SECTIONS if request.url.path.startswith(path)), "")
    return render_page(context, visitor, section, "problem.html", status, title=title, detail=detail)


def require_scope(visitor: Visitor, scope: Scope) -> None:
    """Raise a Problem of 403 if the visitor's key lacks the scope."""
    if not visitor.caller.may(scope):
        raise Problem(403, f"the key of this login lacks the scope {scope}")
