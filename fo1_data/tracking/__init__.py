"""Follows things through the frames of a shot, and chooses the frames that show them best."""
