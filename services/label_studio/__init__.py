"""The adapter to Label Studio: its client, its formats, its label configuration."""
