"""The SQL of operations. Commits nothing."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.database.models import utc_now
from services.database.operation_tables import Operation, OperationKind, OperationState
from services.identifiers import new_id

STOPPED = "the service stopped while it was at work on this; start it again"


async def create(
    session: AsyncSession, project_id: str, kind: OperationKind, request: dict[str, Any], created_by: str
) -> Operation:
    """Queue an operation with a checked request."""
    operation = Operation(
        id=new_id("op"),
        project_id=project_id,
        kind=kind,
        state=OperationState.QUEUED,
        request=request,
        created_by=created_by,
        created_at=utc_now(),
    )
    session.add(operation)
    await session.flush()
    return operation


async def operation_of_project(session: AsyncSession, project_id: str, operation_id: str) -> Operation | None:
    """Return an operation of a project, or None."""
    query = select(Operation).where(Operation.id == operation_id, Operation.project_id == project_id)
    return (await session.scalars(query)).first()


async def list_operations(
    session: AsyncSession, project_id: str, limit: int, before: str | None
) -> Sequence[Operation]:
    """Return a project's operations older than `before`, newest first."""
    query = select(Operation).where(Operation.project_id == project_id)
    if before is not None:
        query = query.where(Operation.id < before)
    return (await session.scalars(query.order_by(Operation.id.desc()).limit(limit))).all()


async def list_routings(
    session: AsyncSession, project_id: str, dataset_id: str, limit: int
) -> Sequence[Operation]:
    """Return the last routings of a dataset, newest first."""
    query = select(Operation).where(
        Operation.project_id == project_id,
        Operation.kind == OperationKind.ROUTE,
        Operation.request["dataset"].as_string() == dataset_id,
    )
    return (await session.scalars(query.order_by(Operation.id.desc()).limit(limit))).all()


async def claim(session: AsyncSession, kinds: Sequence[OperationKind], worker: str) -> Operation | None:
    """Give the oldest queued operation of these kinds to `worker`, or return None."""
    waiting = (Operation.state == OperationState.QUEUED, Operation.kind.in_(list(kinds)))
    oldest = select(func.min(Operation.id)).where(*waiting).scalar_subquery()
    claimed = await session.scalars(
        update(Operation)
        .where(Operation.id == oldest, Operation.state == OperationState.QUEUED)
        .values(state=OperationState.RUNNING, worker=worker, worker_seen_at=utc_now(), started_at=utc_now())
        .returning(Operation.id)
        .execution_options(synchronize_session=False)
    )
    operation_id = claimed.first()
    return None if operation_id is None else await session.get(Operation, operation_id)


async def fail_abandoned(session: AsyncSession, before: datetime) -> Sequence[str]:
    """Fail the operations whose worker gave no sign of life since `before`; return their ids."""
    failed = await session.scalars(
        update(Operation)
        .where(Operation.state == OperationState.RUNNING, Operation.worker_seen_at < before)
        .values(state=OperationState.FAILED, error=STOPPED, finished_at=utc_now())
        .returning(Operation.id)
        .execution_options(synchronize_session=False)
    )
    return failed.all()


async def set_own(session: AsyncSession, operation_id: str, worker: str, **values: Any) -> bool:
    """Change columns of an operation that `worker` is at work on; False if it is so no more."""
    own = (Operation.state == OperationState.RUNNING, Operation.worker == worker)
    changed = await session.scalars(
        update(Operation)
        .where(Operation.id == operation_id, *own)
        .values(**values)
        .returning(Operation.id)
        .execution_options(synchronize_session=False)
    )
    return changed.first() is not None


async def set_operation(session: AsyncSession, operation_id: str, **values: Any) -> None:
    """Change columns of an operation."""
    await session.execute(update(Operation).where(Operation.id == operation_id).values(**values))
