"""Microsoft.Features: previews, of which this cloud has none."""
