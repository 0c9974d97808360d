"""What all pages of the dashboard share: the frame around them, and the check of a scope."""

from typing import Any

from fastapi.responses import Response

from services.context import Context
from services.dashboard.login import Visitor
from services.problems import Problem
from services.security.keys import Scope


def render_page(context: Context, visitor: Visitor, section: str, template: str, **values: Any) -> Response:
    """A whole page: the template with the frame's own values added to its own."""
    values |= {"login": visitor.login, "token": visitor.token, "section": section}
    return context.pages.render(template, base=context.settings.base_url, **values)


def require_scope(visitor: Visitor, scope: Scope) -> None:
    """Raise Problem (403) where the visitor's key lacks the scope."""
    if not visitor.caller.may(scope):
        raise Problem(403, f"this login's key lacks the scope {scope}")
