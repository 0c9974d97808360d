"""What counts as right when a prediction is compared with gold."""
