"""Templates and static files of the pages, read once at the start, and filters that format numbers."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import DictLoader, Environment, StrictUndefined, select_autoescape
from markupsafe import Markup

from services.database.models import utc_now

_MAX_TAIL = 24
# How the rule of a kind begins that accepts nothing; merged versions keep it only in the reasons of labels.
_NO_RULE = "nothing can be accepted at error "
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class StaticFile:
    """A file that pages load. `etag` is quoted."""

    data: bytes
    media_type: str
    etag: str


class Pages:
    """The templates and static files, which do not change while the service runs."""

    def __init__(self) -> None:
        folder = files("services.dashboard")
        sources = {
            entry.name: entry.read_text("utf-8")
            for entry in (folder / "templates").iterdir()
            if entry.name.endswith((".html", ".svg"))
        }
        self.static = {
            entry.name: _static(entry.name, entry.read_bytes())
            for entry in (folder / "static").iterdir()
            if entry.is_file() and "." + entry.name.rpartition(".")[2] in _TYPES
        }
        self._environment = Environment(
            loader=DictLoader(sources),
            autoescape=select_autoescape(["html", "svg"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(number=number, ago=ago, percent=percent, duration=duration)
        self._environment.filters["counted"] = counted
        self._environment.filters.update(path=path, asked=asked, own_reasons=own_reasons)
        self._environment.filters["region_number"] = lambda region_id, numbers: str(
            numbers.get(region_id, "?")
        )
        self._environment.globals["static"] = self._static_url
        for name in sources:
            self._environment.get_template(name)

    def render(self, name: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Return a page, or a part of a page."""
        return HTMLResponse(self._environment.get_template(name).render(**values), status)

    def _static_url(self, name: str) -> str:
        return f"/static/{name}?{self.static[name].etag.strip(chr(34))}"


def number(value: float | None) -> str:
    """Format 12345 as 12 345; None as a dash."""
    if value is None:
        return "–"
    return f"{value:,.0f}".replace(",", "\u2009")


def counted(value: float | None, noun: str) -> str:
    """Format 1 and `image` as 1 image, 12345 as 12 345 images; None as a dash."""
    return f"{number(value)} {noun if value == 1 else noun + 's'}"


def percent(value: float | None, digits: int = 0) -> str:
    """Format 0.123 as 12 %; None as a dash."""
    return "–" if value is None else f"{100 * value:.{digits}f}\u2009%"


def path(address: str) -> Markup:
    """Format a path or URL so that a narrow place cuts its middle: its last part stays readable."""
    head, slash, tail = address.rstrip("/").rpartition("/")
    if len(tail) > _MAX_TAIL:
        head, tail = head + slash + tail[:-_MAX_TAIL], tail[-_MAX_TAIL:]
    else:
        tail = slash + tail
    return Markup('<span class="path" title="{}"><span>{}</span><span>{}</span></span>').format(
        address, head, tail
    )


def asked(question: str, region_number: str) -> str:
    """Format a question about a region as it was asked: `{region}` becomes the region's number."""
    return question.replace("{region}", f"region {region_number}")


def own_reasons(label: dict[str, Any], rules: dict[str, Any]) -> list[str]:
    """Return a label's reasons without what is true of all labels: the rule of its kind (of the manifest)."""
    of_all = (rules.get(label["kind"], {}).get("told") or _NO_RULE, _NO_RULE)
    return [reason for reason in label["reasons"] or [] if not reason.startswith(of_all)]


def duration(seconds: float | None) -> str:
    """Format seconds in their two largest units; None as a dash."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def ago(moment: datetime | None) -> str:
    """Format how long ago a moment was."""
    if moment is None:
        return "never"
    seconds = (utc_now() - moment).total_seconds()
    if seconds < 5:
        return "just now"
    return f"{duration(seconds).rsplit(' ', 2)[0] if seconds >= 60 else duration(seconds)} ago"


def _static(name: str, data: bytes) -> StaticFile:
    media_type = _TYPES["." + name.rpartition(".")[2]]
    return StaticFile(data, f"{media_type}; charset=utf-8", f'"{hashlib.sha256(data).hexdigest()[:16]}"')
