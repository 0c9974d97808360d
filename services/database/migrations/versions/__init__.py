"""One file a revision, in one line of descent."""
