"""The endpoints: they speak HTTP and decide nothing."""
