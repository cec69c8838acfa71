"""Public IP addresses."""
