"""Who is writing into which folder: jobs at work, and operations that make a next version.

A folder has one writer, and no writer inside it or around it, of whatever kind and project.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.database.locks import lock_name
from services.database.models import Job
from services.database.operation_tables import Operation, OperationKind, OperationState

# The kinds of operation that write a next version into a new folder (`out` of the request).
WRITING = (OperationKind.MERGE, OperationKind.ROUTE)
_OUT = Operation.request["out"].as_string()
# Which states of jobs and operations mean that they have not ended (`services.jobs.states`).
_JOB_AT_WORK = Job.state.in_(("queued", "running"))
_OPERATION_AT_WORK = (
    Operation.kind.in_(WRITING),
    Operation.state.in_((OperationState.QUEUED, OperationState.RUNNING)),
)


@dataclass(frozen=True)
class Writer:
    """What writes into the folder `out`, such as `job` or `merge`: its id, and its project."""

    kind: str
    id: str
    out: str
    project_id: str

    def named(self, project_id: str) -> str:
        """Return it in words, for people of a project: those of others learn no id."""
        return f"{self.kind} {self.id}" if self.project_id == project_id else f"another {self.kind}"


async def find_writer(session: AsyncSession, out: str) -> Writer | None:
    """Return what writes to `out`, inside it or around it; until the transaction ends nothing else begins to.

    The lock is one for all folders, because one inside another has another name.
    """
    await lock_name(session, "folders that are written")
    job = (await session.scalars(select(Job).where(_JOB_AT_WORK, _meets(Job.out, out)).limit(1))).first()
    if job is not None:
        return Writer("job", job.id, job.out, job.project_id)
    query = select(Operation).where(*_OPERATION_AT_WORK, _meets(_OUT, out))
    operation = (await session.scalars(query.limit(1))).first()
    if operation is None:
        return None
    return Writer(str(operation.kind), operation.id, operation.request["out"], operation.project_id)


async def folders_of_others(session: AsyncSession, project_id: str) -> Sequence[str]:
    """Return the folders that jobs and operations of other projects are writing."""
    jobs = select(Job.out).where(_JOB_AT_WORK, Job.project_id != project_id)
    operations = select(_OUT).where(*_OPERATION_AT_WORK, Operation.project_id != project_id)
    return [*(await session.scalars(jobs)).all(), *(await session.scalars(operations)).all()]


def _meets(column: Any, out: str) -> ColumnElement[bool]:
    is_inside = column.startswith(f"{out}/", autoescape=True)
    is_around = func.substr(literal(out), 1, func.length(column) + 1) == column + "/"
    return or_(column == out, is_inside, is_around)
