"""Routings become operations; one that was at work has failed."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_STOPPED = "the service stopped while it was at work on this; start it again"
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    routings = sa.text(
        "SELECT routings.*, datasets.project_id, datasets.address FROM routings "
        "JOIN datasets ON datasets.id = routings.dataset_id"
    ).columns(created_at=_TIME, seen_at=_TIME)
    operations = sa.table(
        "operations",
        *(sa.column(name) for name in ("id", "project_id", "kind", "state", "error", "created_by")),
        *(sa.column(name, sa.JSON(none_as_null=True)) for name in ("request", "result")),
        *(sa.column(name, _TIME) for name in ("created_at", "started_at", "finished_at")),
    )
    rows = [_operation_of(dict(routing)) for routing in op.get_bind().execute(routings).mappings()]
    op.bulk_insert(operations, rows)
    op.drop_table("routings")


def _operation_of(routing: dict[str, object]) -> dict[str, object]:
    at_work = routing["state"] == "running"
    names = ("address", "calibration", "max_error", "audit", "out")
    made = routing["made_dataset_id"]
    return {
        "id": "op_" + str(routing["id"]).removeprefix("routing_"),
        "project_id": routing["project_id"],
        "kind": "route",
        "state": "failed" if at_work else routing["state"],
        "error": _STOPPED if at_work else routing["error"],
        "created_by": routing["created_by"],
        "request": {"dataset": routing["dataset_id"], **{name: routing[name] for name in names}},
        "result": {"dataset_id": made} if made else None,
        "created_at": routing["created_at"],
        "started_at": routing["created_at"],
        "finished_at": routing["seen_at"],
    }


def downgrade() -> None:
    """Make the table of routings again, empty: the versions that they made stay registered."""
    op.execute("DELETE FROM operations WHERE kind = 'route'")
    op.create_table(
        "routings",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("dataset_id", sa.String(length=255), nullable=False),
        sa.Column("out", sa.Text(), nullable=False),
        sa.Column("calibration", sa.Text(), nullable=False),
        sa.Column("max_error", sa.Double(), nullable=False),
        sa.Column("audit", sa.Double(), nullable=False),
        sa.Column("state", sa.String(length=255), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("made_dataset_id", sa.String(length=255), nullable=True),
        sa.Column("created_by", sa.String(length=255), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("routings_by_dataset", "routings", ["dataset_id", "id"])
