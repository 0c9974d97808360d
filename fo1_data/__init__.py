"""Labels images with VLM-FO1: model, engine, corpora, datasets, confidence, training. No Ray, no server."""
