"""Datasets are indexed again, so that their samples can be filtered by split and by who labelled them."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "UPDATE datasets SET state = 'indexing', indexer = NULL, indexer_seen_at = NULL WHERE state = 'ready'"
    )


def downgrade() -> None:
    pass  # an index with more terms serves the earlier version, too
