"""The engine: answers many questions about an image on one shared prefix."""
