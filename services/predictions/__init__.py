"""Live predictions, from a Ray Serve deployment over HTTP."""
