"""Microsoft.Insights: what happened in a subscription."""
