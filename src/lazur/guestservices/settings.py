"""Where the guest services of a host find their inputs, leave their outputs, and reach the switch.

Must never hold anything about a guest: that is the ledger's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

WIRE_SERVER = "168.63.129.16"
"""The address guests know for the wire server, HostGAPlugin, DNS, and the source of health probes."""

METADATA_SERVER = "169.254.169.254"
"""The address guests know for the instance metadata service (IMDS)."""


@dataclass(frozen=True)
class GuestServicesSettings:
    """Everything the guest services of one host are told.

    ledger            directory of the host agent's ledger, `<kind>/<key>.json`; only read
    runtime           directory for health, probe and metrics files; lost with the container and that is right
    certificates      directory of the guests' own certificates and keys (0700)
    bridge            the integration bridge the localports are plugged into
    ovs_vsctl         how to call ovs-vsctl, and `ovs_db` the switch database it is told with `--db`
    prefix            at most five letters that begin every namespace and interface made here: whatever bears them is ours
    internal_domain   the zone all virtual networks' own zones lie in
    forwarders        resolvers for names outside; none means that no query ever leaves
    poll_seconds      how often the ledger is looked at
    max_probes        health probes under way at a time
    """

    ledger: Path = Path("/var/lib/lazur/ledger")
    runtime: Path = Path("/run/lazur/guest")
    certificates: Path = Path("/var/lib/lazur/guest-certificates")
    bridge: str = "br-int"
    ovs_vsctl: tuple[str, ...] = ("ovs-vsctl",)
    ovs_db: str = "unix:/run/openvswitch/db.sock"
    prefix: str = "gs-"
    internal_domain: str = "internal.lazur.internal"
    forwarders: tuple[str, ...] = ()
    poll_seconds: float = 0.5
    max_probes: int = 256
