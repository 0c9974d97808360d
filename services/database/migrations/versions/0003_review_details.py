"""Why an annotation was set aside, and under which grant an item's image is shown."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("reviewed_annotations", sa.Column("error", sa.Text(), nullable=True))
    op.add_column("review_items", sa.Column("image_grant_id", sa.String(length=255), nullable=True))


def downgrade() -> None:
    op.drop_column("review_items", "image_grant_id")
    op.drop_column("reviewed_annotations", "error")
