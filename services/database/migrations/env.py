"""Alembic's entry: migrates on the connection it is given."""

from alembic import context

from services.database.models import Base
from services.review import models as _of_reviews  # noqa: F401 - its tables are on the same base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
context.run_migrations()
