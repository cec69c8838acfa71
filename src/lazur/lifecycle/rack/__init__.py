"""The rack in a box: edge, control and hosts as containers of the host image, and the network between them.

Must never hold anything a customer's request decides: it builds the place, the roles inside do the work.
"""

from lazur.lifecycle.rack.rack import ContainerStatus, Rack, Status

__all__ = ["ContainerStatus", "Rack", "Status"]
