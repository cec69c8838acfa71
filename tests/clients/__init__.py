"""Real clients, unmodified, against a whole cloud."""
