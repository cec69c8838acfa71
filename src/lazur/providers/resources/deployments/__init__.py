"""Template deployments at resource-group scope."""
