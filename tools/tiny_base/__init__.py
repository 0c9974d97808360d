"""Tiny bases trained from nothing on plain text: what docs/plug-and-play.md attaches regions to."""
