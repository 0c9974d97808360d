"""Work that takes longer than a request: plans of runs, merges of corrections, comparisons of versions."""
