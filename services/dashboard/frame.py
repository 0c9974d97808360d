"""The frame around every page of the dashboard, and the check of a visitor's scope."""

from typing import Any

from fastapi.responses import Response

from services.context import Context
from services.dashboard.login import Visitor
from services.problems import Problem
from services.security.keys import Scope


def render_page(context: Context, visitor: Visitor, section: str, template: str, **values: Any) -> Response:
    """Render a whole page: the template with its own values and those of the frame."""
    values |= {"login": visitor.login, "token": visitor.token, "section": section}
    return context.pages.render(template, base=context.settings.base_url, **values)


def require_scope(visitor: Visitor, scope: Scope) -> None:
    """Raise a Problem of 403 if the visitor's key lacks the scope."""
    if not visitor.caller.may(scope):
        raise Problem(403, f"the key of this login lacks the scope {scope}")
