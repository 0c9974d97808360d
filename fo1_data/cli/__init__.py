"""The fo1 command: the one composition root."""
