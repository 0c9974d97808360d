"""How fo1-tiny came to be: the phases that train the bundled model from nothing, on generated scenes."""
