"""What people annotated, brought back from Label Studio."""
