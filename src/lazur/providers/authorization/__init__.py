"""Microsoft.Authorization: roles, who holds them where, and locks."""
