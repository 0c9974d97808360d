"""Why a job waits, and the end of its driver's log."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("waits_for", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("log_tail", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "log_tail")
    op.drop_column("jobs", "waits_for")
