"""The pages of datasets: gallery, sample, versions and rejects."""

import asyncio
import json
from collections import Counter
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from fo1_data.dataset.reader import open_dataset
from fo1_data.errors import Fo1Error
from schemas.images import Reject
from schemas.labels import Decision
from services.api.dependencies import ReadSession
from services.context import Context, InContext
from services.dashboard.drawing import DrawnSample, draw
from services.dashboard.frame import render_page
from services.dashboard.login import InVisitor
from services.database.models import DatasetRecord
from services.datasets import registry, repository, service
from services.datasets.documents import label_term, word_terms
from services.datasets.images import Width
from services.datasets.repository import SampleFilter
from services.datasets.service import SamplePage
from services.identifiers import DatasetId
from services.paging import cursor_of, values_of
from services.problems import Problem

router = APIRouter(include_in_schema=False)
_DATASETS, _SAMPLES, _REJECTS, _LABELS = 50, 24, 200, 14
_COMPARED = ("images", "rejected", "regions", "captions", "groundings", "accepted", "audit", "review")


@router.get("/datasets")
async def datasets_page(
    visitor: InVisitor, context: InContext, session: ReadSession, cursor: str | None = None
) -> Response:
    """Datasets, newest first."""
    after = values_of(cursor, int)
    found = list(await repository.list_datasets(session, _DATASETS + 1, after[0] if after else None))
    older = cursor_of(found[_DATASETS - 1].number) if len(found) > _DATASETS else None
    return render_page(context, visitor, "Datasets", "datasets.html", datasets=found[:_DATASETS], older=older)


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
    visitor: InVisitor,
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
    return render_page(
        context, visitor, "Datasets", "dataset.html", dataset=record, asked=asked, labels=labels, **shown
    )


@router.get("/parts/datasets/{dataset_id}/samples")
async def samples_part(
    visitor: InVisitor,
    context: InContext,
    session: ReadSession,
    dataset_id: DatasetId,
    asked: InAsked,
    cursor: str | None = None,
) -> Response:
    """A further page of the gallery, or its first under another filter."""
    record = await service.found(session, dataset_id)
    shown = await _samples(context, session, record, asked, cursor)
    answer = context.pages.render("samples.html", **shown)
    if cursor is None:
        answer.headers["HX-Push-Url"] = f"/datasets/{dataset_id}?{urlencode({k: v for k, v in asked if v})}"
    return answer


@router.get("/parts/datasets/{dataset_id}/indexing")
async def indexing_part(
    visitor: InVisitor, context: InContext, session: ReadSession, dataset_id: DatasetId
) -> Response:
    """How far the index of a dataset is."""
    record = await service.found(session, dataset_id)
    answer = context.pages.render("indexing.html", dataset=record)
    if record.state != "indexing":
        answer.headers["HX-Refresh"] = "true"
    return answer


@router.get("/datasets/{dataset_id}/samples/{image_id}")
async def sample_page(
    visitor: InVisitor, context: InContext, session: ReadSession, dataset_id: DatasetId, image_id: str
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
    return render_page(
        context,
        visitor,
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
    visitor: InVisitor, context: InContext, session: ReadSession, dataset_id: DatasetId
) -> Response:
    """The versions of a name, each with what it has more or less than the one before."""
    record = await service.found(session, dataset_id)
    versions = list(await repository.list_datasets(session, _DATASETS, None, record.name))
    compared = [
        (one, _changes(older, one)) for one, older in zip(versions, [*versions[1:], None], strict=True)
    ]
    return render_page(
        context, visitor, "Datasets", "versions.html", dataset=record, versions=compared, columns=_COMPARED
    )


@router.get("/datasets/{dataset_id}/rejects")
async def rejects_page(
    visitor: InVisitor, context: InContext, session: ReadSession, dataset_id: DatasetId
) -> Response:
    """What gave no label, and why."""
    record = await service.found(session, dataset_id)
    found = await asyncio.to_thread(_rejects, record.address)
    return render_page(context, visitor, "Datasets", "rejects.html", dataset=record, **found)


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
