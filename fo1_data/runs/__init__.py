"""A labelling run, from its settings to its manifest."""
