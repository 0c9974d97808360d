"""What crosses a boundary: rows, run settings, manifests, Arrow schemas."""
