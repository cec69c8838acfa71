"""The host half of Compute: what a host's executor does for machines, disks, captures and probes.

Must never import the store, the API or a controller: it knows its own desires and its drivers.
"""
