"""FastAPI, SQLAlchemy and Label Studio. Never loads a model."""
