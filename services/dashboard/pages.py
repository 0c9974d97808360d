"""The pages of the dashboard, and the parts of them that move by themselves."""

import asyncio
import json
from collections import Counter
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from fo1_data.dataset.reader import open_dataset
from fo1_data.errors import Fo1Error
from schemas.images import Reject
from schemas.jobs import RunConfig
from schemas.labels import Decision
from services.api.datasets import DatasetId
from services.api.dependencies import ReadSession, WriteSession
from services.api.jobs import JobId
from services.api.reviews import view_of
from services.context import Context, InContext
from services.dashboard.documentation import documented_operations
from services.dashboard.drawing import DrawnSample, draw
from services.dashboard.login import InVisitor, PostingVisitor, Visitor
from services.database.models import DatasetRecord, Job, now
from services.datasets import registry, repository, service
from services.datasets.documents import label_term, word_terms
from services.datasets.images import Width
from services.datasets.repository import SampleFilter
from services.datasets.service import SamplePage
from services.jobs import repository as job_repository
from services.jobs import service as job_service
from services.paging import cursor_of, values_of
from services.problems import Problem
from services.review import repository as review_repository
from services.security.keys import Scope

router = APIRouter(include_in_schema=False)
_JOBS, _DATASETS, _SAMPLES, _REJECTS, _LABELS, _EVENTS = 50, 50, 24, 200, 14, 200
_COMPARED = ("images", "rejected", "regions", "captions", "groundings", "accepted", "audit", "review")


def _page(context: Context, who: Visitor, section: str, name: str, **values: Any) -> Response:
    values |= {"login": who.login, "token": who.token, "section": section}
    return context.pages.render(name, base=context.settings.base_url, **values)


@router.get("/")
async def jobs_page(who: InVisitor, context: InContext, session: ReadSession) -> Response:
    """Jobs, with what is at work moving by itself."""
    jobs = await job_repository.list_jobs(session, _JOBS, None, None)
    by_state = await job_repository.count_by_state(session)
    return _page(context, who, "Jobs", "jobs.html", jobs=jobs, by_state=by_state)


@router.get("/parts/jobs")
async def jobs_part(who: InVisitor, context: InContext, session: ReadSession) -> Response:
    """The rows of the jobs' page."""
    jobs = await job_repository.list_jobs(session, _JOBS, None, None)
    return context.pages.render("job_rows.html", jobs=jobs, base=context.settings.base_url)


@router.get("/jobs/{job_id}")
async def job_page(who: InVisitor, context: InContext, session: ReadSession, job_id: JobId) -> Response:
    """One job."""
    job = await _job(session, job_id)
    events = await job_repository.last_events(session, job_id, _EVENTS)
    settings = RunConfig.model_validate(job.config).model_dump(mode="json", exclude_defaults=True)
    told = json.dumps(settings, indent=2, ensure_ascii=False)
    shown = _shown_job(job, who)
    return _page(context, who, "Jobs", "job.html", events=events, settings=told, **shown)


@router.get("/parts/jobs/{job_id}")
async def job_part(who: InVisitor, context: InContext, session: ReadSession, job_id: JobId) -> Response:
    """The part of a job's page that moves."""
    job = await _job(session, job_id)
    answer = context.pages.render("job_state.html", token=who.token, **_shown_job(job, who))
    if job.state not in ("queued", "running"):
        answer.headers["HX-Refresh"] = "true"  # the events below have an end now
    return answer


@router.post("/jobs/{job_id}/cancel")
async def cancel_job(
    who: PostingVisitor, context: InContext, session: WriteSession, job_id: JobId
) -> Response:
    """The button Cancel."""
    _must(who, Scope.LABEL)
    await job_service.cancel(session, job_id)
    context.reconciler.wake()
    return RedirectResponse(f"/jobs/{job_id}", 303)


@router.post("/jobs/{job_id}/resume")
async def resume_job(
    who: PostingVisitor, context: InContext, session: WriteSession, job_id: JobId
) -> Response:
    """The button Resume."""
    _must(who, Scope.LABEL)
    await job_service.resume(session, job_id)
    context.reconciler.wake()
    return RedirectResponse(f"/jobs/{job_id}", 303)


@router.get("/datasets")
async def datasets_page(
    who: InVisitor, context: InContext, session: ReadSession, cursor: str | None = None
) -> Response:
    """Datasets, newest first."""
    after = values_of(cursor, int)
    found = list(await repository.list_datasets(session, _DATASETS + 1, after[0] if after else None))
    older = cursor_of(found[_DATASETS - 1].number) if len(found) > _DATASETS else None
    return _page(context, who, "Datasets", "datasets.html", datasets=found[:_DATASETS], older=older)


class Asked(BaseModel):
    """What the gallery's form asks for, as it was typed; percent for confidence."""

    text: str = ""
    label: str = ""
    decision: str = ""
    max_confidence: str = ""
    order: str = "dataset"

    def wanted(self) -> SampleFilter:
        """The filter; what cannot be understood filters nothing."""
        terms = [*([label_term(self.label)] if self.label.strip() else []), *word_terms(self.text)]
        decision = self.decision if self.decision in list(Decision) else None
        try:
            most = float(self.max_confidence) / 100 if self.max_confidence else None
        except ValueError:
            most = None
        return SampleFilter(tuple(dict.fromkeys(terms)), decision, None, most)

    def query(self, cursor: str) -> str:
        """The query of the next page."""
        return urlencode({**{key: value for key, value in self if value}, "cursor": cursor})


async def asked_for(
    text: str = "", label: str = "", decision: str = "", max_confidence: str = "", order: str = "dataset"
) -> Asked:
    """The form."""
    return Asked(
        text=text[:500], label=label[:500], decision=decision, max_confidence=max_confidence[:10], order=order
    )


InAsked = Annotated[Asked, Depends(asked_for)]


@router.get("/datasets/{dataset_id}")
async def dataset_page(
    who: InVisitor,
    context: InContext,
    session: ReadSession,
    dataset_id: DatasetId,
    asked: InAsked,
    cursor: str | None = None,
) -> Response:
    """A dataset with its gallery."""
    record = await service.found(session, dataset_id)
    shown = await _samples(context, session, record, asked, cursor)
    labels = await repository.most_frequent_terms(session, record.number, "l:", _LABELS)
    return _page(
        context, who, "Datasets", "dataset.html", dataset=record, asked=asked, labels=labels, **shown
    )


@router.get("/parts/datasets/{dataset_id}/samples")
async def samples_part(
    who: InVisitor,
    context: InContext,
    session: ReadSession,
    dataset_id: DatasetId,
    asked: InAsked,
    cursor: str | None = None,
) -> Response:
    """A further page of the gallery, or its first under another filter."""
    record = await service.found(session, dataset_id)
    answer = context.pages.render("samples.html", **await _samples(context, session, record, asked, cursor))
    if cursor is None:
        answer.headers["HX-Push-Url"] = f"/datasets/{dataset_id}?{urlencode({k: v for k, v in asked if v})}"
    return answer


@router.get("/parts/datasets/{dataset_id}/indexing")
async def indexing_part(
    who: InVisitor, context: InContext, session: ReadSession, dataset_id: DatasetId
) -> Response:
    """How far the index of a dataset is."""
    record = await service.found(session, dataset_id)
    answer = context.pages.render("indexing.html", dataset=record)
    if record.state != "indexing":
        answer.headers["HX-Refresh"] = "true"
    return answer


@router.get("/datasets/{dataset_id}/samples/{image_id}")
async def sample_page(
    who: InVisitor, context: InContext, session: ReadSession, dataset_id: DatasetId, image_id: str
) -> Response:
    """One image, with everything said of it."""
    record = await service.found(session, dataset_id)
    sample = await repository.find_sample(session, record.number, image_id[:64])
    if sample is None:
        raise Problem(404, "the dataset has no such image")
    first = max(-1, sample.position - 2)
    page = await service.list_samples(session, record, SampleFilter(), first, 3)
    grant_id = await _grant_id(session, dataset_id)
    near = dict(zip(page.positions, [json.loads(text) for text in page.documents], strict=True))
    document = near[sample.position]
    url = context.signer.path(document["image_id"], grant_id)
    return _page(
        context,
        who,
        "Datasets",
        "sample.html",
        dataset=record,
        drawn=draw(document, url, most=None),
        numbers={region["region_id"]: region["index"] for region in document["regions"]},
        before=near.get(sample.position - 1, {}).get("image_id"),
        after=near.get(sample.position + 1, {}).get("image_id"),
    )


@router.get("/datasets/{dataset_id}/versions")
async def versions_page(
    who: InVisitor, context: InContext, session: ReadSession, dataset_id: DatasetId
) -> Response:
    """The versions of a name, each with what it has more or less than the one before."""
    record = await service.found(session, dataset_id)
    versions = list(await repository.list_datasets(session, _DATASETS, None, record.name))
    compared = [
        (one, _changes(older, one)) for one, older in zip(versions, [*versions[1:], None], strict=True)
    ]
    return _page(
        context, who, "Datasets", "versions.html", dataset=record, versions=compared, columns=_COMPARED
    )


@router.get("/datasets/{dataset_id}/rejects")
async def rejects_page(
    who: InVisitor, context: InContext, session: ReadSession, dataset_id: DatasetId
) -> Response:
    """What gave no label, and why."""
    record = await service.found(session, dataset_id)
    found = await asyncio.to_thread(_rejects, record.address)
    return _page(context, who, "Datasets", "rejects.html", dataset=record, **found)


@router.get("/reviews")
async def reviews_page(who: InVisitor, context: InContext, session: ReadSession) -> Response:
    """Reviews and how far they are."""
    found = await review_repository.list_reviews(session, None, None, _DATASETS)
    views = [(await view_of(session, review)).model_dump() for review in found]
    return _page(context, who, "Reviews", "reviews.html", reviews=views)


@router.get("/docs")
async def docs_page(request: Request, context: InContext) -> Response:
    """The API, for people; no login needed."""
    document = request.app.openapi()
    groups = documented_operations(document)
    return context.pages.render("docs.html", document=document, groups=groups, login=None)


@router.get("/static/{name}")
async def static_file(request: Request, context: InContext, name: str) -> Response:
    """Style, scripts, the mark."""
    found = context.pages.static.get(name)
    if found is None:
        raise Problem(404, "no such file")
    headers = {"ETag": found.etag, "Cache-Control": "public, max-age=31536000, immutable"}
    if request.headers.get("if-none-match") == found.etag:
        return Response(status_code=304, headers=headers)
    return Response(found.data, media_type=found.media_type, headers=headers)


async def _samples(
    context: Context, session: AsyncSession, record: DatasetRecord, asked: Asked, cursor: str | None
) -> dict[str, Any]:
    wanted = asked.wanted()
    if asked.order == "confidence":
        place = values_of(cursor, float, int)
        least = (place[0], place[1]) if place else None
        page = await service.list_least_sure(session, record, wanted, least, _SAMPLES)
    else:
        after = values_of(cursor, int)
        page = await service.list_samples(session, record, wanted, after[0] if after else -1, _SAMPLES)
    grant_id = await _grant_id(session, record.id)
    query = asked.query(cursor_of(*page.after)) if page.after else None
    return {
        "dataset_id": record.id,
        "samples": _drawn(context, page, grant_id),
        "first": cursor is None,
        "nothing": _nothing(record, asked),
        "following": f"/parts/datasets/{record.id}/samples?{query}" if query else None,
        "following_page": f"/datasets/{record.id}?{query}" if query else None,
    }


def _drawn(context: Context, page: SamplePage, grant_id: str) -> list[DrawnSample]:
    drawn = []
    for text in page.documents:
        document = json.loads(text)
        url = context.signer.path(document["image_id"], grant_id)
        drawn.append(draw(document, f"{url}&width={int(Width.MEDIUM)}"))
    return drawn


def _nothing(record: DatasetRecord, asked: Asked) -> str:
    if asked.order == "confidence":
        return "No image that fits has a confidence: it takes a calibration."
    if record.state == "indexing":
        return "The dataset is still being indexed."
    return "The dataset holds no images." if asked == Asked() else "Take a filter away, or fewer words."


async def _grant_id(session: AsyncSession, dataset_id: str) -> str:
    grant = await repository.valid_grant(session, dataset_id, registry.GALLERY)
    return grant.id if grant is not None else ""


def _rejects(address: str) -> dict[str, Any]:
    reasons: Counter[tuple[str, str]] = Counter()
    first: list[Reject] = []
    try:
        for reject in open_dataset(address).rejects():
            reasons[reject.stage.value, reject.reason] += 1
            if len(first) < _REJECTS:
                first.append(reject)
    except (Fo1Error, OSError) as error:
        return {"problem": str(error), "reasons": [], "rejects": []}
    return {"problem": None, "reasons": reasons.most_common(), "rejects": first}


def _changes(older: DatasetRecord | None, newer: DatasetRecord) -> dict[str, int]:
    if older is None:
        return {}
    old, new = older.manifest.get("counts", {}), newer.manifest.get("counts", {})
    return {name: new.get(name, 0) - old.get(name, 0) for name in _COMPARED}


async def _job(session: AsyncSession, job_id: str) -> Job:
    job = await job_repository.get_job(session, job_id)
    if job is None:
        raise Problem(404, f"no job has the id {job_id}")
    return job


def _shown_job(job: Job, who: Visitor) -> dict[str, Any]:
    return {"job": job, "may_label": who.caller.may(Scope.LABEL), "moment": now()}


def _must(who: Visitor, scope: Scope) -> None:
    if not who.caller.may(scope):
        raise Problem(403, f"this login's key lacks the scope {scope}")
