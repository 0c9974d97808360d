"""Generated scenes with exact gold."""
