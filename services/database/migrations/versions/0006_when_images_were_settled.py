"""When the annotations of an image were resolved last, and whether any of them has ever counted."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("review_items", sa.Column("settled_at", sa.String(length=32), nullable=True))
    op.add_column(
        "review_items", sa.Column("has_counted", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.execute("UPDATE review_items SET has_counted = true WHERE rule IS NOT NULL")


def downgrade() -> None:
    op.drop_column("review_items", "has_counted")
    op.drop_column("review_items", "settled_at")
