"""Keys, sessions of the dashboard, signed URLs, and limits of what may reach the service."""
