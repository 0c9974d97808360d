"""Ray only: plain classes of fo1_data put on a cluster."""
