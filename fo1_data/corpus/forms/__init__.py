"""The forms a corpus may have: one file each, all of them read as they come."""
