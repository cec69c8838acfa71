"""Resource groups: the folders resources live in."""
