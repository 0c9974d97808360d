"""What the pages of reports share: templates, style and script of the package, and the security policy."""

import base64
import hashlib
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from jinja2 import Environment

from fo1_data.plurals import counted


def page_policy(script: str) -> str:
    """The content security policy: nothing is fetched, and only the page's own script runs."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def page_asset(name: str) -> str:
    """The text of a file of `templates`."""
    return files("fo1_data.reports").joinpath("templates", name).read_text(encoding="utf-8")


def page_environment() -> Environment:
    """The environment of the templates: every text is escaped."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    filters: dict[str, Callable[..., Any]] = {
        "thousands": lambda number: f"{number:,}",
        "counted": counted,
        "number_in": lambda region_id, numbers: numbers.get(region_id, "?"),
    }
    environment.filters.update(filters)
    return environment
