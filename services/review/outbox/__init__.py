"""Sends the items of reviews to Label Studio."""
