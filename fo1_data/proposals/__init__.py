"""Where boxes come from before the model sees them."""
