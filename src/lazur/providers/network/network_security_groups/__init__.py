"""Network security groups and their rules."""
