"""Management locks."""
