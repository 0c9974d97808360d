"""The Parquet dataset: writing, reading, checking, publishing."""
