"""Reading corpora: listings, shards, pixels."""
