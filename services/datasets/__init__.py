"""Datasets the service knows, and their samples by index."""
