"""Makes an untrained VLM-FO1 of a base and an auxiliary tower."""
