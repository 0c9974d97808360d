"""Addresses, downloads and file stores, local and remote."""
