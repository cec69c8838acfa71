"""Virtual networks and their subnets."""
