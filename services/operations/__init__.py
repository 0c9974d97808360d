"""Work that takes longer than a request: plans, merges of corrections, routings, comparisons of versions."""
