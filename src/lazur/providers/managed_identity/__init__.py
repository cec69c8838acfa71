"""Microsoft.ManagedIdentity: identities of the directory that belong to resources."""
