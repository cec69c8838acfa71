"""Microsoft.Resources: deployments, resource groups and everything the front door itself provides."""
