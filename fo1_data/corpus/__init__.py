"""Reading corpora: listings, shards, pixels, storage."""
