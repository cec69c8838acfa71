"""Hosts of the rack."""
