"""How fo1-tiny is made: the phases that train the bundled model from random weights, on generated scenes."""
