"""What runs in each container: the supervisor's list of services, as data derived from the site.

Must never do anything itself; the supervisor inside the container does.
"""

from __future__ import annotations

from typing import Any

from lazur.lifecycle.rack import layout
from lazur.lifecycle.site import Site

ROLE = "lazur.roles"

# Console only: the supervisor keeps and rotates the logs.
_QUIET = ["-vconsole:info", "-vsyslog:off", "-vfile:off"]
# One arena per thread would triple a vswitchd's memory for nothing.
_LEAN = {"MALLOC_ARENA_MAX": "1"}
_PYTHON_ENV = {"PYTHONUNBUFFERED": "1", "MALLOC_ARENA_MAX": "2"}


def services(site: Site, container: str) -> dict[str, Any]:
    """The supervisor's configuration for `container`."""
    lists = {"edge": _edge, "control": _control}
    kind = layout.kind_of(container)
    return {
        "services": lists[kind](site) if kind in lists else _host(site, container),
        "logs": str(layout.INSIDE_LOGS),
        "status": str(layout.INSIDE_RUNTIME / layout.STATUS_FILE),
        "hold": str(layout.INSIDE_RUNTIME / layout.HOLD_FILE),
    }


def fabric(container: str) -> list[str]:
    """Services that must be ready before the container counts as up: everything but our own roles."""
    return {
        "edge": ["mgmtd", "zebra", "bgpd"],
        "control": ["ovn-nb", "ovn-sb", "ovn-northd"],
        "host": ["ovsdb-server", "ovs-vswitchd", "ovn-controller"],
    }[layout.kind_of(container)]


def _shell(script: str) -> list[str]:
    return ["/bin/sh", "-euc", script]


def _role(name: str, *words: str, after: tuple[str, ...] = ()) -> dict[str, Any]:
    argv = ["/usr/bin/python3", "-P", "-m", ROLE, *words]
    return {"name": name, "argv": argv, "env": _PYTHON_ENV, "after": list(after), "stopSeconds": 5.0}


def _edge(site: Site) -> list[dict[str, Any]]:
    # -P 0: no terminal port; vtysh talks over the socket.
    common = ["-A", "127.0.0.1", "-P", "0", "--log", "stdout", "--log-level", "informational"]
    zserv = "/run/frr/zserv.api"
    return [
        {
            # It takes no -f, and needs none; without it zebra fills its log with complaints.
            "name": "mgmtd",
            "argv": ["/usr/lib/frr/mgmtd", *common],
            "setup": [_shell("mkdir -p /run/frr && chown frr:frr /run/frr && chmod 755 /run/frr")],
            "ready": {"socket": "/run/frr/mgmtd_be.sock"},
        },
        {
            "name": "zebra",
            "argv": ["/usr/lib/frr/zebra", *common, "-f", "/etc/frr/zebra.conf"],
            "after": ["mgmtd"],
            "ready": {"socket": zserv},
        },
        {
            "name": "bgpd",
            "argv": ["/usr/lib/frr/bgpd", *common, "-F", "datacenter", "-f", "/etc/frr/bgpd.conf"],
            "after": ["zebra"],
            "ready": {"socket": "/run/frr/bgpd.vty"},
        },
    ]


def edge_files(site: Site) -> dict[str, str]:
    """FRR's configuration: no neighbour yet, but hosts of the underlay may peer and announce public addresses."""
    networks = site.networks
    allowed = [f"ip prefix-list public seq {5 * (i + 1)} permit {p} le 32" for i, p in enumerate(networks.public)]
    bgp = [
        "hostname edge",
        *allowed,
        "route-map from-hosts permit 10",
        " match ip address prefix-list public",
        "exit",
        "router bgp 64512",
        f" bgp router-id {networks.underlay.prefix[1]}",
        " neighbor hosts peer-group",
        " neighbor hosts remote-as external",
        " neighbor hosts timers 1 3",
        f" bgp listen range {networks.underlay.prefix} peer-group hosts",
        " address-family ipv4 unicast",
        "  neighbor hosts activate",
        "  neighbor hosts route-map from-hosts in",
        "  maximum-paths 16",
        " exit-address-family",
        "exit",
    ]
    zebra = ["hostname edge", "ip nht resolve-via-default"]
    return {"/etc/frr/zebra.conf": "\n".join([*zebra, ""]), "/etc/frr/bgpd.conf": "\n".join([*bgp, ""])}


def _tls(name: str) -> list[str]:
    pki = layout.INSIDE_PKI
    return [f"--private-key={pki / name}.key", f"--certificate={pki / name}.pem", f"--ca-cert={pki / 'ca.pem'}"]


def _control(site: Site) -> list[dict[str, Any]]:
    address = str(site.control_address)
    northd = ["ovn-northd", f"--ovnnb-db=unix:{layout.NORTHBOUND_SOCKET}", f"--ovnsb-db=unix:{layout.SOUTHBOUND_SOCKET}"]
    return [
        _central("ovn-nb", layout.NORTHBOUND_SOCKET, [f"--remote=pssl:{layout.NORTHBOUND_PORT}:{address}"], _NB_STARTED),
        _central(
            "ovn-sb",
            layout.SOUTHBOUND_SOCKET,
            ["--remote=db:OVN_Southbound,SB_Global,connections"],
            # Each host's connection may only write what its chassis owns. A probe shorter than a busy machine's hiccup
            # would cut hosts off for nothing; a dead peer is noticed by its closed socket.
            f"ovn-sbctl init -- --inactivity-probe=60000 set-connection role=ovn-controller "
            f"pssl:{layout.SOUTHBOUND_PORT}:{address}",
        ),
        {
            "name": "ovn-northd",
            "argv": [*northd, "--n-threads=1", "--pidfile", *_QUIET],
            "env": _LEAN,
            "after": ["ovn-nb", "ovn-sb"],
        },
        _role("control", "control"),
        _role("executor-network", "executor", "network/main", after=("ovn-nb", "ovn-sb")),
        _role("executor-storage", "executor", "storage/main"),
    ]


# A gateway's death is noticed after three lost heartbeats of 200 ms.
_NB_STARTED = "ovn-nbctl --no-wait init -- set NB_Global . options:bfd-min-rx=200 options:bfd-min-tx=200 options:bfd-mult=3"


def _central(name: str, socket: str, remotes: list[str], started: str) -> dict[str, Any]:
    state = layout.INSIDE_STATE / layout.CONTROL / "ovn"
    schema = f"/usr/share/ovn/{name}.ovsschema"
    database = state / f"{name}.db"
    create = f"mkdir -p /run/ovn {state} && {{ [ -s {database} ] || ovsdb-tool create {database} {schema}; }}"
    # An upgraded image may bring a newer schema.
    convert = f'[ "$(ovsdb-tool needs-conversion {database} {schema})" = no ] || ovsdb-tool convert {database} {schema}'
    files = [f"--pidfile=/run/ovn/{name}.pid", f"--unixctl=/run/ovn/{name}.ctl"]
    return {
        "name": name,
        "argv": ["ovsdb-server", str(database), f"--remote=punix:{socket}", *remotes, *_tls("ovn-central"), *files, *_QUIET],
        "env": _LEAN,
        "setup": [_shell(f"{create}; {convert}")],
        "ready": {"socket": socket},
        "started": [_shell(started)],
    }


def _host(site: Site, name: str) -> list[dict[str, Any]]:
    address = str(site.host_address(name))
    database = "/run/openvswitch/conf.db"
    # Made afresh with the container: every port in it belongs to a process of this container.
    schema = "/usr/share/openvswitch/vswitch.ovsschema"
    create = f"mkdir -p /run/openvswitch && {{ [ -s {database} ] || ovsdb-tool create {database} {schema}; }}"
    return [
        {
            "name": "ovsdb-server",
            "argv": ["ovsdb-server", database, f"--remote=punix:{layout.OVS_SOCKET}", "--pidfile", *_QUIET],
            "env": _LEAN,
            "setup": [_shell(create)],
            "ready": {"socket": layout.OVS_SOCKET},
            "started": [_shell(_switch_settings(site, name, address))],
        },
        {
            "name": "ovs-vswitchd",
            "argv": ["ovs-vswitchd", f"unix:{layout.OVS_SOCKET}", "--pidfile", *_QUIET],
            "env": _LEAN,
            "after": ["ovsdb-server"],
            "started": [_shell(_bridges(site, address))],
        },
        {
            "name": "ovn-controller",
            "argv": ["ovn-controller", f"unix:{layout.OVS_SOCKET}", *_tls(name), "--pidfile", *_QUIET],
            "env": _LEAN,
            "setup": [_shell("mkdir -p /run/ovn")],
            "after": ["ovs-vswitchd"],
        },
        _role("executor-host", "executor", f"host/{name}", after=("ovs-vswitchd",)),
        _role("guestservices", "guestservices", name, after=("ovs-vswitchd",)),
    ]


def _switch_settings(site: Site, name: str, address: str) -> str:
    settings = {
        "other_config:n-handler-threads": "1",
        "other_config:n-revalidator-threads": "1",
        "external_ids:system-id": name,
        "external_ids:hostname": name,
        "external_ids:ovn-remote": f"ssl:{site.control_address}:{layout.SOUTHBOUND_PORT}",
        "external_ids:ovn-encap-type": site.networks.underlay.encapsulation,
        "external_ids:ovn-encap-ip": address,
        "external_ids:ovn-bridge-datapath-type": "netdev",
        "external_ids:ovn-bridge-mappings": f"{layout.PHYSICAL_NETWORK}:{layout.EXTERNAL_BRIDGE}",
        "external_ids:ovn-remote-probe-interval": "60000",
        # A restarted ovn-controller first computes its flows, then replaces the old ones, so that traffic goes on.
        "external_ids:ovn-ofctrl-wait-before-clear": "2000",
    }
    words = " ".join(f"'{key}=\"{value}\"'" for key, value in settings.items())
    return f"ovs-vsctl --no-wait init -- set Open_vSwitch . {words}"


def _bridges(site: Site, address: str) -> str:
    """Bridges, then the addresses and link states that went with a dead vswitchd's interfaces."""
    underlay = site.networks.underlay
    pairs = (
        (layout.UNDERLAY_BRIDGE, layout.UNDERLAY_PORT, underlay.mtu),
        (layout.EXTERNAL_BRIDGE, layout.SECOND_PORT, site.networks.transit.mtu),
    )
    words = []
    for bridge, port, mtu in pairs:
        words += [
            f"--may-exist add-br {bridge} -- set Bridge {bridge} datapath_type=netdev fail_mode=standalone",
            f"set Interface {bridge} mtu_request={mtu}",
            # The same address after each restart, or neighbours would send to the old one for a minute.
            f"set Bridge {bridge} other_config:hwaddr=$(cat /sys/class/net/{port}/address)",
            f"--may-exist add-port {bridge} {port}",
        ]
    waits = " && ".join(f"[ -e /sys/class/net/{bridge} ]" for bridge, _, _ in pairs)
    return f"""
    ovs-vsctl --timeout=20 -- {" -- ".join(words)}
    n=0; until {waits}; do n=$((n+1)); [ $n -lt 400 ]; sleep 0.05; done
    ip link set {layout.UNDERLAY_BRIDGE} mtu {underlay.mtu} up
    ip addr replace {address}/{underlay.prefix.prefixlen} dev {layout.UNDERLAY_BRIDGE}
    ip link set {layout.EXTERNAL_BRIDGE} up
    """
