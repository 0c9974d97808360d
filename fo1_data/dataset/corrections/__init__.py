"""Human corrections applied to rows of a dataset."""
