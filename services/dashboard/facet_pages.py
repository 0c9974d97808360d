"""The counts beside the filters of a dataset's gallery, and the histogram of confidences."""

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncSession

from schemas.labels import Decision
from services.api.dependencies import ReadSession
from services.context import InContext
from services.dashboard.gallery_form import InForm
from services.dashboard.login import InVisitor
from services.datasets import facets, repository, service
from services.datasets.documents import KIND, SOURCE, SPLIT
from services.identifiers import DatasetId

router = APIRouter(include_in_schema=False)
_CHOICES = 20


@router.get("/parts/datasets/{dataset_id}/facets")
async def facets_part(
    visitor: InVisitor, context: InContext, session: ReadSession, dataset_id: DatasetId, form: InForm
) -> Response:
    """The counts of every choice under the other filters of the form; replaces parts of the page."""
    record = await service.get_dataset(session, visitor.project_id, dataset_id)
    counted = await facets.count_facets(session, record.number, form.sample_filter())
    choices = await choices_of(session, record.number)
    values = {name: [value for value, _ in pairs] for name, pairs in choices.items()}
    return context.pages.render("facets.html", facets=counted, dataset=record, choices=values)


async def choices_of(session: AsyncSession, number: int) -> dict[str, list[tuple[str, int]]]:
    """Return the values that a field of the form can take in a dataset, and how many samples have each."""
    return {
        "decision": [(decision.value, 0) for decision in Decision],
        **{
            name: await repository.most_frequent_terms(session, number, prefix, _CHOICES)
            for name, prefix in (("kind", KIND), ("source", SOURCE), ("split", SPLIT))
        },
    }
