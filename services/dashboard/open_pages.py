"""Pages without a login: the API's documentation, and the files that pages load."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from services.context import InContext
from services.dashboard.documentation import documented_operations
from services.dashboard.frame import render_page
from services.dashboard.login import visitor_if_any
from services.problems import Problem

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def docs_page(request: Request, context: InContext) -> Response:
    """The documentation of the API. Needs no login."""
    document = request.app.openapi()
    groups = documented_operations(document)
    visitor = await visitor_if_any(request, context)
    return render_page(context, visitor, "API", "docs.html", document=document, groups=groups)


@router.get("/static/{name}")
async def static_file(request: Request, context: InContext, name: str) -> Response:
    """Style sheets, scripts and the logo."""
    file = context.pages.static.get(name)
    if file is None:
        raise Problem(404, "no such file")
    headers = {"ETag": file.etag, "Cache-Control": "public, max-age=31536000, immutable"}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    return Response(file.data, media_type=file.media_type, headers=headers)
