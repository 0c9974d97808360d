"""Measuring a dataset against gold."""
