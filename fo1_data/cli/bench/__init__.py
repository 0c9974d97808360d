"""`fo1 bench`: a file for each benchmark."""
