"""Alembic's entry: migrates on the connection it is given."""

from alembic import context

from services.database import operation_tables as _operation_tables  # noqa: F401 - registers its table
from services.database import review_tables as _review_tables  # noqa: F401 - registers its tables
from services.database.models import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
context.run_migrations()
