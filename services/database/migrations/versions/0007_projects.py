"""Projects: everything belongs to one. What exists goes into a default project, its admins to the service."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
_DEFAULT = "prj_default"
_OWNERS = {"jobs": "project_id", "datasets": "project_id", "reviews": "owner_project_id"}


def upgrade() -> None:
    projects = op.create_table(
        "projects",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("storage_roots", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.bulk_insert(
        projects, [{"id": _DEFAULT, "name": "default", "created_at": sa.func.now()}], multiinsert=False
    )
    # Plain ALTER TABLE: a table that is made anew on SQLite takes the rows that refer to it along.
    for table, name in _OWNERS.items():
        project = sa.Column(name, sa.String(length=255), nullable=False, server_default=_DEFAULT)
        op.add_column(table, project)
    for table in ("datasets", "reviews"):
        op.add_column(table, sa.Column("created_by", sa.String(length=255), nullable=True))
    _add_projects_of_keys()
    op.drop_index("datasets_by_address", "datasets")
    op.drop_index("datasets_by_name", "datasets")
    op.create_index(
        "datasets_by_address", "datasets", ["project_id", "address", "manifest_sha256"], unique=True
    )
    op.create_index("datasets_by_name", "datasets", ["project_id", "name", "number"])
    op.create_index("datasets_by_project", "datasets", ["project_id", "number"])
    op.create_index("jobs_by_project", "jobs", ["project_id", "id"])
    op.create_index("reviews_by_project", "reviews", ["owner_project_id", "id"])


def _add_projects_of_keys() -> None:
    """Put every key into the default project, except admins: they stay admins of the whole service."""
    op.add_column("api_keys", sa.Column("project_id", sa.String(length=255), nullable=True))
    keys = sa.table("api_keys", sa.column("id"), sa.column("scopes", sa.JSON()), sa.column("project_id"))
    connection = op.get_bind()
    for key_id, scopes in connection.execute(sa.select(keys.c.id, keys.c.scopes)).all():
        names = json.loads(scopes) if isinstance(scopes, str) else scopes
        if "admin" not in names:
            connection.execute(sa.update(keys).where(keys.c.id == key_id).values(project_id=_DEFAULT))


def downgrade() -> None:
    """Put everything together again. Keys of other projects would see all of it, so they are revoked."""
    op.execute(
        "UPDATE api_keys SET revoked_at = CURRENT_TIMESTAMP "
        f"WHERE revoked_at IS NULL AND project_id <> '{_DEFAULT}'"
    )
    # A version in a folder was one dataset: of those that several projects registered, the oldest stays.
    op.execute(
        "DELETE FROM datasets WHERE number NOT IN "
        "(SELECT MIN(number) FROM datasets GROUP BY address, manifest_sha256)"
    )
    op.drop_index("reviews_by_project", "reviews")
    op.drop_index("jobs_by_project", "jobs")
    op.drop_index("datasets_by_project", "datasets")
    op.drop_index("datasets_by_name", "datasets")
    op.drop_index("datasets_by_address", "datasets")
    op.create_index("datasets_by_address", "datasets", ["address", "manifest_sha256"], unique=True)
    op.create_index("datasets_by_name", "datasets", ["name", "number"])
    for table, name in {**_OWNERS, "api_keys": "project_id"}.items():
        op.drop_column(table, name)
    for table in ("datasets", "reviews"):
        op.drop_column(table, "created_by")
    op.drop_table("projects")
