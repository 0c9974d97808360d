"""Programs that make the project's own assets; not part of the wheel."""
