"""Annotations that are set aside, the fields of a review's project, and the LsTask of each annotation."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_REVIEWS = (("label_config", sa.Text()), ("changed_fields", sa.JSON()), ("unowned", sa.JSON()))
_ANNOTATIONS = (
    ("ls_task_id", sa.Integer()),
    ("ls_user_id", sa.Integer()),
    ("reason", sa.String(16)),
    ("changed_fields", sa.JSON()),
    ("effects", sa.JSON()),
    ("ignored", sa.JSON()),
    ("taken_in_by", sa.String(255)),
    ("taken_in_at", sa.DateTime(timezone=True)),
)


def upgrade() -> None:
    for table, columns in (("reviews", _REVIEWS), ("reviewed_annotations", _ANNOTATIONS)):
        for name, kind in columns:
            op.add_column(table, sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    for table, columns in (("reviewed_annotations", _ANNOTATIONS), ("reviews", _REVIEWS)):
        for name, _ in reversed(columns):
            op.drop_column(table, name)
