"""Live predictions: asked of a Ray Serve deployment over HTTP."""
