"""Availability sets."""
