"""The form check: rules of this project's source text, each shown by a test to catch what it forbids."""
