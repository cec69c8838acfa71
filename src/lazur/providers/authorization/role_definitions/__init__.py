"""Role definitions of a customer's own."""
