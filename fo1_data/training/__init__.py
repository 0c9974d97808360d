"""Training VLM-FO1 on dataset rows."""
