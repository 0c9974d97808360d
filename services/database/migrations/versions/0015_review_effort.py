"""How many labels a person is shown in an item."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("review_items", sa.Column("num_labels", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("review_items", "num_labels")
