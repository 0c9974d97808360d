"""Measurements of the service, each against its baseline in the same run."""
