"""The engine: many questions about an image, answered on one shared prefix."""
