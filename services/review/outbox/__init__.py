"""What people are asked about, sent to Label Studio."""
