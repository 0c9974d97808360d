"""Training samples: from dataset rows to batches of tensors."""
