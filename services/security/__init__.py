"""API keys, dashboard logins, signed URLs, and limits on requests."""
