"""An index for the least sure samples of one decision."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("samples", schema=None) as batch_op:
        batch_op.create_index(
            "samples_by_decision_and_confidence", ["dataset", "decision", "confidence", "position"]
        )


def downgrade() -> None:
    with op.batch_alter_table("samples", schema=None) as batch_op:
        batch_op.drop_index("samples_by_decision_and_confidence")
