"""Detectors of transformers, one file for each way of asking and of reading the answer."""
