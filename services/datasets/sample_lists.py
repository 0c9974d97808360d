"""Pages of a dataset's samples, read with few short queries: lists are what the service answers most.

Every function takes a connection and blocks, so call it by `Database.read`. A statement is built once for
each shape of a filter and then only gets other values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import BindParameter, Connection, Select, and_, bindparam, or_, select
from sqlalchemy.orm import aliased

from services.database.models import (
    DatasetRecord,
    DatasetState,
    ImageGrant,
    Sample,
    SampleDocument,
    SampleTerm,
    Term,
)
from services.datasets.documents import unpack

Query = Select[*tuple[Any, ...]]
_MAX_SHAPES = 512
_BEFORE_ID, _ID_CHARACTERS = b'{"image_id":"', 64


@dataclass(frozen=True)
class SampleFilter:
    """Which samples to list. `terms`: each must occur; a term is `w:word`, `l:label` or `k:kind`.

    `min_confidence`, `max_confidence`: bounds of the sample's lowest confidence, both included.
    """

    terms: tuple[str, ...] = ()
    decision: str | None = None
    min_confidence: float | None = None
    max_confidence: float | None = None

    @property
    def bounds(self) -> dict[str, Any]:
        """The values that a sample's own columns are compared with, by name."""
        names = ("decision", "min_confidence", "max_confidence")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


@dataclass(frozen=True)
class SamplePage:
    """Documents of samples as JSON texts, and where the next page starts (None: this is the last page)."""

    documents: list[bytes]
    positions: list[int]
    after: tuple[float | int, ...] | None


@dataclass(frozen=True)
class ListedDataset:
    """What a list needs of its dataset. `grant_id`: the valid grant of its images ("": none).

    `finished`: all its samples are indexed, so its lists stay as they are.
    """

    number: int
    grant_id: str
    finished: bool


def find_listed(
    connection: Connection, project_id: str, dataset_id: str, purpose: str
) -> ListedDataset | None:
    """Return a project's dataset and its newest grant for `purpose` that is not revoked, or None."""
    values = {"project_id": project_id, "dataset_id": dataset_id, "purpose": purpose}
    row = connection.execute(_LISTED, values).first()
    return None if row is None else ListedDataset(row[0], row[1] or "", row[2] == DatasetState.READY)


def list_samples(
    connection: Connection, number: int, sample_filter: SampleFilter, after: int, limit: int
) -> SamplePage:
    """Return matching samples in the dataset's order, after the position `after`."""
    found = _terms_of(connection, number, sample_filter)
    if found is None:
        return SamplePage([], [], None)
    query = _in_order(tuple(sample_filter.bounds), len(found))
    values: dict[str, Any] = {"number": number, "after": after, "limit": limit + 1}
    values |= {**sample_filter.bounds, **found}
    rows = connection.execute(query, values).all()
    page = rows[:limit]
    return SamplePage(
        [unpack(row[1]) for row in page],
        [row[0] for row in page],
        (page[-1][0],) if len(rows) > limit else None,
    )


def list_least_sure(
    connection: Connection,
    number: int,
    sample_filter: SampleFilter,
    after: tuple[float, int] | None,
    limit: int,
) -> SamplePage:
    """Return matching samples by their lowest confidence, rising, after this confidence and position.

    Samples without a confidence are left out.
    """
    found = _terms_of(connection, number, sample_filter)
    if found is None:
        return SamplePage([], [], None)
    query = _by_confidence(tuple(sample_filter.bounds), len(found), after is not None)
    values: dict[str, Any] = {"number": number, "limit": limit + 1, **sample_filter.bounds, **found}
    if after is not None:
        values |= {"after_confidence": after[0], "after": after[1]}
    rows = connection.execute(query, values).all()
    page = rows[:limit]
    return SamplePage(
        [unpack(row[1]) for row in page],
        [row[0] for row in page],
        (float(page[-1][2]), page[-1][0]) if len(rows) > limit else None,
    )


def documents_at(connection: Connection, number: int, positions: Sequence[int]) -> dict[int, bytes]:
    """Return the JSON texts of the documents at `positions`, by position."""
    rows = connection.execute(_DOCUMENTS, {"number": number, "positions": list(positions)})
    return {row[0]: unpack(row[1]) for row in rows}


def image_of(document: bytes) -> str:
    """Return the image id that a document begins with."""
    return document[len(_BEFORE_ID) :][:_ID_CHARACTERS].decode()


def _terms_of(connection: Connection, number: int, sample_filter: SampleFilter) -> dict[str, int] | None:
    """Return the ids of the terms as values of a statement, the rarest first; None if one does not occur."""
    if not sample_filter.terms:
        return {}
    rows = connection.execute(_TERMS, {"number": number, "texts": list(sample_filter.terms)}).all()
    if len(rows) < len(set(sample_filter.terms)):
        return None
    return {f"term_{at}": row[0] for at, row in enumerate(rows)}


@lru_cache(_MAX_SHAPES)
def _in_order(bounds: tuple[str, ...], num_terms: int) -> Query:
    if not bounds and not num_terms:
        plain: Query = select(SampleDocument.position, SampleDocument.document).where(
            SampleDocument.dataset == bindparam("number"), SampleDocument.position > bindparam("after")
        )
        return plain.order_by(SampleDocument.position).limit(bindparam("limit"))
    matches: Query
    if num_terms:  # Start from the rarest term; each further term is a look-up by key.
        first = aliased(SampleTerm)
        position = first.position
        matches = select(position).where(first.term == bindparam("term_0"), position > bindparam("after"))
        if bounds:
            sample = and_(Sample.dataset == bindparam("number"), Sample.position == position)
            matches = matches.join(Sample, sample).where(*_conditions(bounds))
    else:
        position = Sample.position
        matches = select(position).where(
            Sample.dataset == bindparam("number"), position > bindparam("after"), *_conditions(bounds)
        )
    for at in range(1, num_terms):
        matches = matches.where(_has_term(at, position))
    found = matches.order_by(position).limit(bindparam("limit")).subquery()
    return _with_documents(select(found.c.position, SampleDocument.document), found).order_by(
        found.c.position
    )


@lru_cache(_MAX_SHAPES)
def _by_confidence(bounds: tuple[str, ...], num_terms: int, continued: bool) -> Query:
    matches = select(Sample.confidence, Sample.position).where(
        Sample.dataset == bindparam("number"), Sample.confidence.is_not(None), *_conditions(bounds)
    )
    if continued:
        last: BindParameter[float] = bindparam("after_confidence")
        matches = matches.where(
            or_(
                Sample.confidence > last,
                and_(Sample.confidence == last, Sample.position > bindparam("after")),
            ),
            Sample.confidence >= last,
        )
    for at in range(num_terms):
        matches = matches.where(_has_term(at, Sample.position))
    found = matches.order_by(Sample.confidence, Sample.position).limit(bindparam("limit")).subquery()
    columns = select(found.c.position, SampleDocument.document, found.c.confidence)
    return _with_documents(columns, found).order_by(found.c.confidence, found.c.position)


def _with_documents(columns: Query, found: Any) -> Query:
    return columns.join(
        SampleDocument,
        and_(SampleDocument.dataset == bindparam("number"), SampleDocument.position == found.c.position),
    )


def _has_term(at: int, position: Any) -> Any:
    other = aliased(SampleTerm)
    return (
        select(other.term).where(other.term == bindparam(f"term_{at}"), other.position == position).exists()
    )


def _conditions(bounds: tuple[str, ...]) -> list[Any]:
    conditions = {
        "decision": Sample.decision == bindparam("decision"),
        "min_confidence": Sample.confidence >= bindparam("min_confidence"),
        "max_confidence": Sample.confidence <= bindparam("max_confidence"),
    }
    return [conditions[name] for name in bounds]


_GRANT = (
    select(ImageGrant.id)
    .where(
        ImageGrant.dataset_id == DatasetRecord.id,
        ImageGrant.purpose == bindparam("purpose"),
        ImageGrant.revoked_at.is_(None),
    )
    .order_by(ImageGrant.id.desc())
    .limit(1)
    .correlate(DatasetRecord)
    .scalar_subquery()
)
_LISTED = select(DatasetRecord.number, _GRANT, DatasetRecord.state).where(
    DatasetRecord.id == bindparam("dataset_id"), DatasetRecord.project_id == bindparam("project_id")
)
_TERMS = (
    select(Term.id)
    .where(Term.dataset == bindparam("number"), Term.text.in_(bindparam("texts", expanding=True)))
    .order_by(Term.num_samples)
)
_DOCUMENTS = select(SampleDocument.position, SampleDocument.document).where(
    SampleDocument.dataset == bindparam("number"),
    SampleDocument.position.in_(bindparam("positions", expanding=True)),
)
