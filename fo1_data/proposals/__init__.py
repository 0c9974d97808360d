"""Proposers: the sources of the boxes that the model is asked about."""
