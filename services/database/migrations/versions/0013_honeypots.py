"""Tasks whose answer is known, and how many known answers an annotation has right."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("review_items", sa.Column("known", sa.LargeBinary(), nullable=True))
    op.add_column("reviewed_annotations", sa.Column("known_right", sa.Integer(), nullable=True))
    op.add_column("reviewed_annotations", sa.Column("known_asked", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("reviewed_annotations", "known_asked")
    op.drop_column("reviewed_annotations", "known_right")
    op.drop_column("review_items", "known")
