"""What makes things that are bundled; outside the wheel."""
