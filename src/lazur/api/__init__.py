"""HTTP in, ARM out. Must never know a concrete resource type, a controller or a driver: everything comes from the registry."""
