"""The pages of datasets: gallery, sample, versions and rejects."""

import asyncio
import json
from collections import Counter
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncSession

from fo1_data.dataset.counting import boxes_from
from fo1_data.dataset.reader import open_dataset
from fo1_data.errors import Fo1Error
from schemas.dataset import Manifest
from schemas.images import Reject
from schemas.labels import Decision
from services.api.dependencies import ReadSession
from services.context import Context, InContext
from services.dashboard.drawing import DrawnSample, draw_sample
from services.dashboard.facet_pages import choices_of
from services.dashboard.frame import render_page
from services.dashboard.gallery_form import GalleryForm, InForm
from services.dashboard.login import InVisitor
from services.database.models import DatasetRecord, DatasetState
from services.datasets import facets, registry, repository, service
from services.datasets.documents import labels_of
from services.datasets.images import Width
from services.datasets.sample_lists import SamplePage
from services.identifiers import DatasetId
from services.paging import cursor_of, cut, values_of
from services.problems import KeptText, Problem
from services.security.keys import key_names

router = APIRouter(include_in_schema=False)
_DATASETS, _SAMPLES, _REJECTS, _LABELS = 50, 24, 200, 14
_COMPARED = (
    "images",
    "rejected",
    "regions",
    "captions",
    "groundings",
    "accepted",
    "audit",
    "unreviewed",
    "review",
)


@router.get("/datasets")
async def datasets_page(
    visitor: InVisitor, context: InContext, session: ReadSession, cursor: str | None = None
) -> Response:
    """Datasets, newest first."""
    after = values_of(cursor, int)
    last = after[0] if after else None
    rows = await repository.list_datasets(session, visitor.project_id, _DATASETS + 1, last)
    datasets, more = cut(list(rows), _DATASETS)
    older = cursor_of(datasets[-1].number) if more else None
    names = await key_names(session, {dataset.created_by or "" for dataset in datasets})
    return render_page(
        context, visitor, "Datasets", "datasets.html", datasets=datasets, older=older, names=names
    )


@router.get("/datasets/{dataset_id}")
async def dataset_page(
    visitor: InVisitor,
    context: InContext,
    session: ReadSession,
    dataset_id: DatasetId,
    form: InForm,
    cursor: str | None = None,
) -> Response:
    """A dataset with its gallery."""
    record = await service.get_dataset(session, visitor.project_id, dataset_id)
    gallery = await _gallery(context, session, record, form, cursor)
    labels = await repository.most_frequent_terms(session, record.number, "l:", _LABELS)
    choices = await choices_of(session, record.number)
    origin = boxes_from(Manifest.model_validate(record.manifest))
    shown: dict[str, Any] = {
        "dataset": record,
        "form": form,
        "labels": labels,
        "origin": origin,
        "rules": _rules(record),
        "choices": choices,
    }
    return render_page(context, visitor, "Datasets", "dataset.html", **shown, **gallery)


@router.get("/parts/datasets/{dataset_id}/samples")
async def samples_part(
    visitor: InVisitor,
    context: InContext,
    session: ReadSession,
    dataset_id: DatasetId,
    form: InForm,
    cursor: str | None = None,
) -> Response:
    """The next page of the gallery, or the first page with another filter."""
    record = await service.get_dataset(session, visitor.project_id, dataset_id)
    gallery = await _gallery(context, session, record, form, cursor)
    answer = context.pages.render("samples.html", **gallery)
    if cursor is None:
        answer.headers["HX-Push-Url"] = f"/datasets/{dataset_id}?{form.query()}"
        answer.headers["HX-Trigger-After-Settle"] = "filtered"
    return answer


@router.get("/parts/datasets/{dataset_id}/indexing")
async def indexing_part(
    visitor: InVisitor, context: InContext, session: ReadSession, dataset_id: DatasetId
) -> Response:
    """The progress of indexing a dataset."""
    record = await service.get_dataset(session, visitor.project_id, dataset_id)
    answer = context.pages.render("indexing.html", dataset=record)
    if record.state != DatasetState.INDEXING:
        answer.headers["HX-Refresh"] = "true"
    return answer


@router.get("/datasets/{dataset_id}/samples/{image_id}")
async def sample_page(
    visitor: InVisitor,
    context: InContext,
    session: ReadSession,
    dataset_id: DatasetId,
    image_id: KeptText,
    form: InForm,
) -> Response:
    """One image with all its labels; the images before and after it are those of the gallery's view."""
    record = await service.get_dataset(session, visitor.project_id, dataset_id)
    sample = await repository.find_sample(session, record.number, image_id[:64])
    if sample is None:
        raise Problem(404, "the dataset has no such image")
    document = json.loads(await service.stored_document(session, record, sample))
    grant_id = await _grant_id(session, dataset_id)
    by_confidence = form.order == "confidence"
    before, after = await facets.neighbours(
        session, record.number, form.sample_filter(), sample, by_confidence
    )
    url = context.signer.path(document["image_id"], grant_id)
    return render_page(
        context,
        visitor,
        "Datasets",
        "sample.html",
        dataset=record,
        rules=_rules(record),
        drawn=draw_sample(document, url, max_boxes=None),
        numbers={region["region_id"]: region["index"] for region in document["regions"]},
        kinds=sorted({label["kind"] for label in labels_of(document) if label.get("kind")}),
        decisions=[
            name.value for name in Decision if any(r["decision"] == name for r in document["regions"])
        ],
        before=before,
        after=after,
        query=f"?{form.query()}" if form.shown() else "",
    )


@router.get("/datasets/{dataset_id}/versions")
async def versions_page(
    visitor: InVisitor, context: InContext, session: ReadSession, dataset_id: DatasetId
) -> Response:
    """The versions of a dataset's name, each with the difference of its counts from the version before."""
    record = await service.get_dataset(session, visitor.project_id, dataset_id)
    rows = await repository.list_datasets(session, visitor.project_id, _DATASETS, None, record.name)
    versions = list(rows)
    compared = [
        (version, _changes(older, version))
        for version, older in zip(versions, [*versions[1:], None], strict=True)
    ]
    return render_page(
        context, visitor, "Datasets", "versions.html", dataset=record, versions=compared, columns=_COMPARED
    )


@router.get("/datasets/{dataset_id}/rejects")
async def rejects_page(
    visitor: InVisitor, context: InContext, session: ReadSession, dataset_id: DatasetId
) -> Response:
    """The inputs and boxes that gave no label, and why."""
    record = await service.get_dataset(session, visitor.project_id, dataset_id)
    rejects = await asyncio.to_thread(_rejects, record.address)
    return render_page(context, visitor, "Datasets", "rejects.html", dataset=record, **rejects)


async def _gallery(
    context: Context, session: AsyncSession, record: DatasetRecord, form: GalleryForm, cursor: str | None
) -> dict[str, Any]:
    sample_filter = form.sample_filter()
    if form.order == "confidence":
        values = values_of(cursor, float, int)
        last = (values[0], values[1]) if values else None
        page = await service.list_least_sure(session, record, sample_filter, last, _SAMPLES)
    else:
        after = values_of(cursor, int)
        page = await service.list_samples(session, record, sample_filter, after[0] if after else -1, _SAMPLES)
    grant_id = await _grant_id(session, record.id)
    query = form.query(cursor=cursor_of(*page.after)) if page.after else None
    return {
        "dataset_id": record.id,
        "samples": _drawn(context, page, grant_id),
        "first": cursor is None,
        "query": form.query(),
        "empty_reason": _empty_reason(record, form),
        "next_part": f"/parts/datasets/{record.id}/samples?{query}" if query else None,
        "next_page": f"/datasets/{record.id}?{query}" if query else None,
    }


def _drawn(context: Context, page: SamplePage, grant_id: str) -> list[DrawnSample]:
    drawn = []
    for text in page.documents:
        document = json.loads(text)
        url = context.signer.path(document["image_id"], grant_id)
        drawn.append(draw_sample(document, f"{url}&width={int(Width.MEDIUM)}"))
    return drawn


def _empty_reason(record: DatasetRecord, form: GalleryForm) -> str:
    if form.order == "confidence":
        return "No matching image has a confidence: that needs a calibration."
    if record.state == DatasetState.INDEXING:
        return "The dataset is still being indexed."
    return "The dataset has no images." if not form.shown() else "Remove a filter, or use fewer words."


async def _grant_id(session: AsyncSession, dataset_id: str) -> str:
    grant = await repository.valid_grant(session, dataset_id, registry.GALLERY)
    return grant.id if grant is not None else ""


def _rules(record: DatasetRecord) -> dict[str, dict[str, Any]]:
    """Return the rules by which labels were accepted, by label kind, as the manifest has them."""
    rules = (record.manifest.get("routing") or {}).get("rules")
    return {kind: rule for kind, rule in rules.items() if isinstance(rule, dict)} if rules else {}


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
