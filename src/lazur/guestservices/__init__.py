"""The guest services of a host: wire server, HostGAPlugin, instance metadata, DNS and health probes for its guests.

Data plane: it works from the host's ledger alone, but for tokens of identities, and must never need a control process for
what it served before, nor talk to an outside address
unless the operator named a forwarder.
"""

from lazur.guestservices.service import run
from lazur.guestservices.settings import GuestServicesSettings
from lazur.guestservices.tokens import HttpTokens

__all__ = ["GuestServicesSettings", "HttpTokens", "run"]
