"""Microsoft.Subscriptions.Admin: the operator gives subscriptions to directories."""
