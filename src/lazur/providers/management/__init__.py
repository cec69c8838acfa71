"""Microsoft.Management: the groups over subscriptions."""
