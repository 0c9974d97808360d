"""How many samples of a dataset each choice of the gallery's filters would leave.

The counts of a field are under the filters of all other fields, so that they say what choosing another
value of it would give.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from services.database.models import Sample, SampleTerm, Term
from services.datasets import repository
from services.datasets.documents import KIND, SOURCE, SPLIT
from services.datasets.sample_lists import SampleFilter

NUM_BINS = 20
TERM_FIELDS = (KIND, SOURCE, SPLIT)


@dataclass(frozen=True)
class Facets:
    """`total`: samples that match. `decisions`, and `terms` by the prefix of their field: by value.

    `bins`: (NUM_BINS,) samples by their lowest confidence, in equal steps of 0 to 1; `without`: those that
    have none.
    """

    total: int = 0
    decisions: dict[str, int] = field(default_factory=dict)
    terms: dict[str, dict[str, int]] = field(default_factory=dict)
    bins: list[int] = field(default_factory=lambda: [0] * NUM_BINS)
    without: int = 0


async def count_facets(session: AsyncSession, number: int, sample_filter: SampleFilter) -> Facets:
    """Count the samples of the dataset with this number for every choice of decision, kind and so on."""
    ids = await _term_ids(session, number, sample_filter.terms)
    decisions = await _by(session, number, replace(sample_filter, decision=None), ids, Sample.decision)
    open_range = replace(sample_filter, min_confidence=None, max_confidence=None)
    by_bin = await _by(session, number, open_range, ids, _bin())
    bins = [by_bin.get(index, 0) for index in range(NUM_BINS)]
    terms = {prefix: await _by_term(session, number, sample_filter, ids, prefix) for prefix in TERM_FIELDS}
    named = {str(name): count for name, count in decisions.items() if name is not None}
    total = (
        sum(decisions.values()) if sample_filter.decision is None else named.get(sample_filter.decision, 0)
    )
    return Facets(total, named, terms, bins, by_bin.get(None, 0))


async def _term_ids(session: AsyncSession, number: int, texts: Sequence[str]) -> dict[str, int]:
    """Return the id of each term; of a term that the dataset does not have, an id that no sample has."""
    query = select(Term.text, Term.id).where(Term.dataset == number, Term.text.in_(texts))
    found = [(row[0], row[1]) for row in await session.execute(query)] if texts else []
    return {**dict.fromkeys(texts, -1), **dict(found)}


async def _by(
    session: AsyncSession, number: int, sample_filter: SampleFilter, ids: dict[str, int], column: Any
) -> dict[Any, int]:
    query = select(column, func.count()).where(*_matches(number, sample_filter, ids)).group_by(column)
    return {value: int(count) for value, count in await session.execute(query)}


async def _by_term(
    session: AsyncSession, number: int, sample_filter: SampleFilter, ids: dict[str, int], prefix: str
) -> dict[str, int]:
    others = replace(
        sample_filter, terms=tuple(text for text in sample_filter.terms if not text.startswith(prefix))
    )
    values = (Term.dataset == number, repository.term_begins_with(session, prefix))
    if others == SampleFilter():
        query = select(Term.text, Term.num_samples).where(*values)
    else:
        matching = select(Sample.position).where(*_matches(number, others, ids))
        query = (
            select(Term.text, func.count())
            .join(SampleTerm, SampleTerm.term == Term.id)
            .where(*values, SampleTerm.position.in_(matching))
            .group_by(Term.text)
        )
    return {row[0][len(prefix) :]: int(row[1]) for row in await session.execute(query)}


def _matches(number: int, sample_filter: SampleFilter, ids: dict[str, int]) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [Sample.dataset == number]
    if sample_filter.decision is not None:
        conditions.append(Sample.decision == sample_filter.decision)
    if sample_filter.min_confidence is not None:
        conditions.append(Sample.confidence >= sample_filter.min_confidence)
    if sample_filter.max_confidence is not None:
        conditions.append(Sample.confidence <= sample_filter.max_confidence)
    for text in sample_filter.terms:
        with_term = aliased(SampleTerm)
        found = and_(with_term.term == ids[text], with_term.position == Sample.position)
        conditions.append(select(with_term.term).where(found).exists())
    return conditions


def _bin() -> ColumnElement[int]:
    """The number of a sample's bin; null without a confidence. No function: databases round differently."""
    steps = [(Sample.confidence < (index + 1) / NUM_BINS, index) for index in range(NUM_BINS - 1)]
    return case((Sample.confidence.is_(None), None), *steps, else_=NUM_BINS - 1)


async def neighbours(
    session: AsyncSession, number: int, sample_filter: SampleFilter, sample: Sample, by_confidence: bool
) -> tuple[str | None, str | None]:
    """Return the ids of the images before and after a sample among those that match, None at an end."""
    ids = await _term_ids(session, number, sample_filter.terms)
    matches = _matches(number, sample_filter, ids)
    columns: list[Any] = [Sample.position]
    place: tuple[Any, ...] = (sample.position,)
    if by_confidence and sample.confidence is not None:
        columns, place = [Sample.confidence, *columns], (sample.confidence, *place)
    own = tuple_(*columns)
    before = select(Sample.image_id).where(*matches, own < place).order_by(*(c.desc() for c in columns))
    after = select(Sample.image_id).where(*matches, own > place).order_by(*columns)
    return await session.scalar(before.limit(1)), await session.scalar(after.limit(1))
