"""The guest services of a host: wire server, HostGAPlugin, instance metadata, DNS and health probes for its guests.

Data plane: it works from the host's ledger alone and must never need a control process, nor talk to an outside address
unless the operator named a forwarder.
"""

from lazur.guestservices.service import run
from lazur.guestservices.settings import GuestServicesSettings

__all__ = ["GuestServicesSettings", "run"]
