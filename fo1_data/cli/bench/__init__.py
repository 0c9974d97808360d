"""`fo1 bench`: one file a benchmark."""
