"""The tables of keys, jobs, datasets and images."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("secret_sha256", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "datasets",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("manifest_sha256", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("version", sa.String(length=255), nullable=False),
        sa.Column("parent", sa.String(length=255), nullable=True),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=255), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("num_samples", sa.Integer(), nullable=False),
        sa.Column("indexer", sa.String(length=255), nullable=True),
        sa.Column("indexer_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("id"),
    )
    with op.batch_alter_table("datasets", schema=None) as batch_op:
        batch_op.create_index("datasets_by_address", ["address", "manifest_sha256"], unique=True)
        batch_op.create_index("datasets_by_name", ["name", "number"], unique=False)

    op.create_table(
        "idempotent_answers",
        sa.Column("api_key_id", sa.String(length=255), nullable=False),
        sa.Column("route", sa.String(length=255), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("body_sha256", sa.String(length=255), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("api_key_id", "route", "key"),
    )
    op.create_table(
        "image_grants",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("dataset_id", sa.String(length=255), nullable=False),
        sa.Column("purpose", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("image_grants", schema=None) as batch_op:
        batch_op.create_index("image_grants_by_dataset", ["dataset_id", "id"], unique=False)

    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=255), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("out", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("submission_id", sa.String(length=255), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("progress", sa.JSON(), nullable=True),
        sa.Column("counts", sa.JSON(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("dataset_id", sa.String(length=255), nullable=True),
        sa.Column("created_by", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.create_index("jobs_by_out", ["out"], unique=False)
        batch_op.create_index("jobs_by_state", ["state", "id"], unique=False)

    op.create_table(
        "sample_terms",
        sa.Column("term", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("term", "position"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "job_events",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("job_id", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=255), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("job_events", schema=None) as batch_op:
        batch_op.create_index("job_events_by_job", ["job_id", "id"], unique=False)

    op.create_table(
        "sample_documents",
        sa.Column("dataset", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["dataset"], ["datasets.number"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("dataset", "position"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "samples",
        sa.Column("dataset", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("image_id", sa.String(length=64), nullable=False),
        sa.Column("decision", sa.String(length=16), nullable=True),
        sa.Column("confidence", sa.Double(), nullable=True),
        sa.Column("file", sa.Integer(), nullable=False),
        sa.Column("row_group", sa.Integer(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["dataset"], ["datasets.number"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("dataset", "position"),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("samples", schema=None) as batch_op:
        batch_op.create_index("samples_by_confidence", ["dataset", "confidence", "position"], unique=False)
        batch_op.create_index("samples_by_decision", ["dataset", "decision", "position"], unique=False)
        batch_op.create_index("samples_by_image", ["image_id", "dataset"], unique=False)

    op.create_table(
        "terms",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("dataset", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(length=255), nullable=False),
        sa.Column("num_samples", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["dataset"], ["datasets.number"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("terms", schema=None) as batch_op:
        batch_op.create_index("terms_by_text", ["dataset", "text"], unique=True)


def downgrade() -> None:
    with op.batch_alter_table("terms", schema=None) as batch_op:
        batch_op.drop_index("terms_by_text")

    op.drop_table("terms")
    with op.batch_alter_table("samples", schema=None) as batch_op:
        batch_op.drop_index("samples_by_image")
        batch_op.drop_index("samples_by_decision")
        batch_op.drop_index("samples_by_confidence")

    op.drop_table("samples")
    op.drop_table("sample_documents")
    with op.batch_alter_table("job_events", schema=None) as batch_op:
        batch_op.drop_index("job_events_by_job")

    op.drop_table("job_events")
    op.drop_table("sample_terms")
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_index("jobs_by_state")
        batch_op.drop_index("jobs_by_out")

    op.drop_table("jobs")
    with op.batch_alter_table("image_grants", schema=None) as batch_op:
        batch_op.drop_index("image_grants_by_dataset")

    op.drop_table("image_grants")
    op.drop_table("idempotent_answers")
    with op.batch_alter_table("datasets", schema=None) as batch_op:
        batch_op.drop_index("datasets_by_name")
        batch_op.drop_index("datasets_by_address")

    op.drop_table("datasets")
    op.drop_table("api_keys")
