"""Training of the class-agnostic detector: what it learns from, its targets and loss, the run."""
