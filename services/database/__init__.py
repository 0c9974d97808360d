"""The database of the service: engine, sessions, tables, migrations."""
