"""Labels images with VLM-FO1: model, engine, corpora, datasets, confidence, training. Knows no Ray and no server."""
