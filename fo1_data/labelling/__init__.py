"""Labelling images: which questions are asked, and how their answers become rows."""
