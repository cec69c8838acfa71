"""Disk images: one interface, qcow2 files and a simulated pool behind it."""
