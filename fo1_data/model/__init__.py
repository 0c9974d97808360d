"""VLM-FO1: towers, region encoder, language model, prompts, checkpoint, engine."""
