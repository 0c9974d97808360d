"""Items of a review may be of a part of a large image."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_INDEX = "review_items_by_image"


def upgrade() -> None:
    op.add_column("review_items", sa.Column("part", sa.String(64), nullable=False, server_default=""))
    op.drop_index(_INDEX, table_name="review_items")
    op.create_index(_INDEX, "review_items", ["review_id", "image_id", "part", "round"], unique=True)


def downgrade() -> None:
    op.execute("DELETE FROM review_items WHERE part != ''")
    op.drop_index(_INDEX, table_name="review_items")
    op.create_index(_INDEX, "review_items", ["review_id", "image_id", "round"], unique=True)
    op.drop_column("review_items", "part")
