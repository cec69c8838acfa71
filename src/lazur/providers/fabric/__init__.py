"""The machine room as resources, for operators. Other providers must never import it."""
