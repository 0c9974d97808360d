"""`/v1/videos/{video_id}`: a video that browsers play, by key or signed URL, with ranges and CORS."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import FileResponse

from services.api.documented import NOT_FOUND, problem_answer
from services.api.images import ByKey, browser_origin
from services.context import Context, InContext
from services.datasets import repository
from services.problems import KeptText, Problem

router = APIRouter(tags=["videos"])
VideoId = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the video's bytes.")]
_VIDEOS: dict[str, dict[str, str]] = {"video/mp4": {}}


@router.head("/v1/videos/{video_id}", include_in_schema=False)
@router.get(
    "/v1/videos/{video_id}",
    response_class=FileResponse,
    responses={
        200: {"description": "The video, as MP4.", "content": _VIDEOS},
        206: {"description": "The requested range of the video.", "content": _VIDEOS},
        416: problem_answer("The range is outside the video."),
        **NOT_FOUND,
    },
)
async def get_video(
    request: Request,
    context: InContext,
    video_id: VideoId,
    grant: Annotated[str, Query(max_length=64)] = "",
    expires: Annotated[int, Query(ge=0, le=2**53)] = 0,
    signature: Annotated[str, Query(max_length=128)] = "",
    caller: ByKey = None,
    dataset: Annotated[KeptText, Query(max_length=64, description="Dataset's id; a key needs it.")] = "",
) -> Response:
    """The video of a dataset, as a browser plays it frame by frame."""
    if caller is None:
        dataset = await _granted_dataset(context, video_id, grant, expires, signature)
    async with context.database.reading() as session:
        record = await repository.get_dataset(session, dataset)
    if record is None or (caller is not None and record.project_id != caller.project_id):
        raise Problem(404, "no registered dataset holds this video")
    roots = await context.project_roots.of(record.project_id)
    path = await context.videos.file_of(record.address, video_id, roots)
    headers = {
        "Cache-Control": "private, max-age=86400",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Vary": "Origin",
    }
    origin = request.headers.get("origin")
    if origin is not None and origin == browser_origin(context.settings.label_studio_url):
        headers["Access-Control-Allow-Origin"] = origin
    return FileResponse(path, media_type="video/mp4", headers=headers)


async def _granted_dataset(context: Context, video_id: str, grant: str, expires: int, signature: str) -> str:
    """Return the dataset that a signed URL opens. Raises a Problem of 403."""
    if not context.signer.is_valid(video_id, grant, expires, signature):
        raise Problem(403, "this link is not valid or has expired")
    dataset_id = await context.grants.dataset_of(grant)
    if dataset_id is None:
        raise Problem(403, "this link was revoked")
    return dataset_id
