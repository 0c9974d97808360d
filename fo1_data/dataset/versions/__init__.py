"""Dataset versions made from other versions: merged, published, reduced, compared, traced."""
