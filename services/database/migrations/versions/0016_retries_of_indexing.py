"""Datasets whose files could not be reached are indexed again later, those that failed before at once."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("datasets", sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE datasets SET retry_at = created_at WHERE state = 'failed'")


def downgrade() -> None:
    op.drop_column("datasets", "retry_at")
