"""TODO-DOC."""

# From opening a region to deciding it, for one caption with its box on the picture.
REVIEW_S_PER_LABEL = 5.0
