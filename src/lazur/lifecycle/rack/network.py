"""Namespaces, segments, links and routes of the rack in a box.

`edge` holds three bridges (underlay, transit, infra) and the link to the machine; every other container hangs on them by
veths. Nothing here has a default route that leads out: in each namespace it points at `lo`, where what would have left
is counted and refused. Must never change the machine beyond one interface, its routes and, where the operator named an
egress interface, one nft table and two forwarding switches.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from lazur.lifecycle.rack import layout
from lazur.lifecycle.rack.commands import run
from lazur.lifecycle.site import Site

_BRIDGE = "type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
_BRIDGES = ("underlay", "transit", "infra")
# A packet OVS reads from a raw socket must be whole: no checksum or segmentation left to a network card.
_OFFLOADS = "tx off tso off gso off gro off"
_SYSCTL = {
    "net/ipv6/conf/all/disable_ipv6": 1,
    "net/ipv6/conf/default/disable_ipv6": 1,
    # Answer ARP only for an address of the asked interface: a guest's tap must not lead to the host's own addresses.
    "net/ipv4/conf/all/arp_ignore": 1,
    "net/ipv4/conf/all/rp_filter": 0,
    "net/ipv4/conf/default/rp_filter": 0,
    "net/ipv4/conf/all/send_redirects": 0,
    "net/ipv4/conf/default/send_redirects": 0,
    "net/ipv4/conf/all/accept_redirects": 0,
}
_EDGE_SYSCTL = {"net/ipv4/ip_forward": 1, "net/bridge/bridge-nf-call-iptables": 0, "net/bridge/bridge-nf-call-ip6tables": 0}
# Not "outside": loopback, link-local, multicast, broadcast.
_LOCAL = ("127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32")
# The note comes in a rule of its own: one that cannot be made, the set being full, must not save the packet.
_OUTSIDE = """ip daddr != @rack add @seen { ip saddr . ip daddr }
            ip daddr != @rack counter name outside drop"""
_KEPT = """counter outside { }
          set rack { type ipv4_addr; flags interval; }
          set seen { type ipv4_addr . ipv4_addr; flags dynamic; size 256; }"""
MACHINE_TABLE = "lazur"


@dataclass(frozen=True)
class Outside:
    """Packets refused because they led outside the rack, and up to 256 of their (source, destination) pairs."""

    packets: int
    flows: tuple[tuple[str, ...], ...]


class Network:
    """The network between the containers of `site`; `image` is the host image, whose ethtool is used."""

    def __init__(self, site: Site, image: Path) -> None:
        self._site = site
        self._image = image

    def up(self) -> None:
        """Make whatever is missing; what is there stays untouched."""
        names = layout.containers(self._site)
        existing = live_namespaces()
        for name in names:
            if layout.netns(name) not in existing:
                _add_namespace(layout.netns(name))
                _write_sysctl(layout.netns(name), _SYSCTL | (_EDGE_SYSCTL if name == layout.EDGE else {}))
        self._edge_links(names)
        self._edge_rules()
        for name in names:
            if name != layout.EDGE:
                self._far_end(name)
        self._machine_link()

    def _edge_links(self, names: list[str]) -> None:
        networks = self._site.networks
        edge = layout.netns(layout.EDGE)
        there = links(edge)
        mtu = {"underlay": networks.underlay.mtu, "transit": networks.transit.mtu, "infra": networks.infrastructure.mtu}
        addresses = {
            "underlay": networks.underlay.prefix,
            "transit": networks.transit.prefix,
            "infra": networks.infrastructure.prefix,
        }
        batch = ["link set lo up", "route replace default dev lo"]
        for kind, bridge in enumerate(_BRIDGES):
            if bridge not in there:
                batch.append(f"link add {bridge} address {_mac(kind, 1)} {_BRIDGE}")
            batch += [
                f"link set {bridge} mtu {mtu[bridge]} up",
                f"addr replace {addresses[bridge][1]}/{addresses[bridge].prefixlen} dev {bridge}",
            ]
        for index, name in enumerate(names):
            for bridge, port in _ports(name):
                near = f"{bridge[0]}-{name}"
                if near not in there:
                    far = f"peer name {port} mtu {mtu[bridge]} address {_mac(_BRIDGES.index(bridge), index + 1)}"
                    batch.append(f"link add {near} mtu {mtu[bridge]} type veth {far} netns {layout.netns(name)}")
                batch.append(f"link set {near} master {bridge} up")
        batch += [f"route replace {prefix} dev transit src {networks.transit.prefix[1]}" for prefix in networks.public]
        _ip(edge, batch)
        fresh = [f"{b[0]}-{name}" for name in names for b, _ in _ports(name) if f"{b[0]}-{name}" not in there]
        self._offloads_off(edge, fresh)

    def _far_end(self, name: str) -> None:
        """Links, addresses and rules inside `control` or a host."""
        networks = self._site.networks
        batch = ["link set lo up", "route replace default dev lo"]
        batch += [f"link set {port} up" for _, port in _ports(name)]
        if name == layout.CONTROL:
            infra = networks.infrastructure.prefix
            batch += [
                f"addr replace {self._site.control_address}/{networks.underlay.prefix.prefixlen} dev {layout.UNDERLAY_PORT}",
                f"addr replace {self._site.api_address}/{infra.prefixlen} dev {layout.SECOND_PORT}",
                f"addr replace {self._site.admin_address}/{infra.prefixlen} dev {layout.SECOND_PORT}",
            ]
            batch += [
                f"route replace {prefix} via {infra[1]}"
                for prefix in (networks.link.prefix, networks.transit.prefix, *networks.public)
            ]
        _ip(layout.netns(name), batch)
        self._offloads_off(layout.netns(name), [port for _, port in _ports(name)])
        rules = _control_rules() if name == layout.CONTROL else _host_rules()
        _nft(layout.netns(name), self._table(rules))

    def _machine_link(self) -> None:
        networks = self._site.networks
        link, egress = networks.link.prefix, self._site.egress_interface
        if layout.MACHINE_LINK not in links(None):
            edge_end = f"peer name uplink address {_mac(3, 2)} netns {layout.netns(layout.EDGE)}"
            _ip(None, [f"link add {layout.MACHINE_LINK} address {_mac(3, 1)} type veth {edge_end}"])
        _ip(layout.netns(layout.EDGE), ["link set uplink up", f"addr replace {link[2]}/{link.prefixlen} dev uplink"])
        routed = (networks.infrastructure.prefix, *networks.public)
        batch = [
            f"link set {layout.MACHINE_LINK} addrgenmode none",
            f"link set {layout.MACHINE_LINK} up",
            f"addr replace {link[1]}/{link.prefixlen} dev {layout.MACHINE_LINK}",
        ]
        batch += [f"route replace {prefix} via {link[2]} dev {layout.MACHINE_LINK}" for prefix in routed]
        if egress:
            # Guests' public addresses leave through the machine, and their answers have to find back.
            batch.append(f"route replace {networks.transit.prefix} via {link[2]} dev {layout.MACHINE_LINK}")
        _ip(None, batch)
        if egress:
            _ip(layout.netns(layout.EDGE), [f"route replace default via {link[1]} dev uplink"])
            run(["nft", "-f", "-"], stdin=_machine_rules(egress))
            for interface in (layout.MACHINE_LINK, egress):
                forwarding(interface).write_text("1")

    def _edge_rules(self) -> None:
        egress = self._site.egress_interface is not None
        rules = f"""
          chain prerouting {{ type filter hook prerouting priority raw; policy accept;
            {'iifname "transit" ip daddr != @rack accept' if egress else ""}
            {'iifname "uplink" ct state established,related accept' if egress else ""}
            iifname "lo" accept
            {_OUTSIDE}
          }}
          chain output {{ type filter hook output priority filter; policy accept;
            {_OUTSIDE}
          }}
          chain incoming {{ type filter hook input priority filter; policy drop;
            iifname "lo" accept
            ct state established,related accept
            ip protocol icmp accept
            iifname {{ "underlay", "uplink" }} tcp dport 179 accept
            iifname {{ "underlay", "uplink" }} udp dport {{ 3784, 3785, 4784 }} accept
          }}
          chain forwarded {{ type filter hook forward priority filter; policy drop;
            ct state established,related accept
            iifname "uplink" oifname {{ "infra", "transit" }} accept
            iifname "transit" oifname {{ "infra", "transit"{', "uplink"' if egress else ""} }} accept
            iifname "infra" oifname {{ "transit", "underlay" }} accept
            iifname "underlay" oifname "infra" accept
          }}"""
        _nft(layout.netns(layout.EDGE), self._table(rules))

    def _table(self, rules: str) -> str:
        """The namespace's one table, replaced whole but for its counter, which must not forget."""
        known = [str(prefix) for _, prefix in self._site.networks.prefixes()]
        elements = ", ".join([*known, *_LOCAL])
        # The set is never flushed, nor anonymous: for a moment of the exchange packets would see it empty, and be lost.
        return f"""
        table inet lazur {{
          {_KEPT}
        }}
        flush table inet lazur
        table inet lazur {{
          set rack {{ type ipv4_addr; flags interval; elements = {{ {elements} }}; }}
          {rules}
        }}
        """

    def _offloads_off(self, namespace: str, ports: Iterable[str]) -> None:
        lines = [f"ethtool -K {port} {_OFFLOADS}" for port in ports]
        if lines:
            argv = ["ip", "netns", "exec", namespace, "chroot", str(self._image), "/bin/sh", "-es"]
            run(argv, stdin="\n".join([*lines, ""]))


def _control_rules() -> str:
    return f"""
      chain output {{ type filter hook output priority filter; policy accept;
        {_OUTSIDE}
      }}
      chain incoming {{ type filter hook input priority filter; policy accept;
        ct state established,related accept
        iifname "{layout.SECOND_PORT}" ip protocol icmp accept
        iifname "{layout.SECOND_PORT}" tcp dport {{ 53, 80, {layout.API_PORT} }} accept
        iifname "{layout.SECOND_PORT}" udp dport 53 accept
        iifname "{layout.SECOND_PORT}" drop
      }}"""


def _host_rules() -> str:
    # OVS reads its ports through raw sockets, before these hooks. The kernel itself must ignore what arrives there, or
    # every packet would be seen twice, and a guest's broadcast could reach the host through its tap.
    return f"""
      chain output {{ type filter hook output priority filter; policy accept;
        {_OUTSIDE}
      }}
      chain prerouting {{ type filter hook prerouting priority raw; policy accept;
        iifname != {{ "lo", "{layout.UNDERLAY_BRIDGE}" }} drop
      }}"""


def _machine_rules(egress: str) -> str:
    return f"""
    table inet {MACHINE_TABLE}
    delete table inet {MACHINE_TABLE}
    table inet {MACHINE_TABLE} {{
      chain postrouting {{ type nat hook postrouting priority srcnat; policy accept;
        iifname "{layout.MACHINE_LINK}" oifname "{egress}" masquerade
      }}
    }}
    """


def forwarding(interface: str) -> Path:
    """The switch that lets packets from `interface` of the machine be routed on."""
    return Path("/proc/sys/net/ipv4/conf") / interface / "forwarding"


def links(namespace: str | None) -> set[str]:
    """Names of the interfaces in `namespace`; None is the machine."""
    where = ["-n", namespace] if namespace else []
    return {link["ifname"] for link in json.loads(run(["ip", *where, "-j", "link", "show"]).stdout or "[]")}


def live_namespaces() -> set[str]:
    """Named network namespaces that are really there; after a reboot the names may be left without them."""
    if not layout.NETNS.is_dir():
        return set()
    # A namespace is bound over its name; the bare file left without one lies on the folder's own file system.
    own = layout.NETNS.stat().st_dev
    return {path.name for path in layout.NETNS.iterdir() if path.stat().st_dev != own}


def outside(namespace: str) -> Outside:
    """What was refused in `namespace` so far because it led outside the rack."""
    listing = run(["ip", "netns", "exec", namespace, "nft", "-j", "list", "table", "inet", "lazur"]).stdout
    entries = json.loads(listing)["nftables"]
    counted = sum(int(e["counter"]["packets"]) for e in entries if e.get("counter", {}).get("name") == "outside")
    seen = [e["set"].get("elem", []) for e in entries if e.get("set", {}).get("name") == "seen"]
    pairs = [element.get("elem", element).get("val", element) for element in chain.from_iterable(seen)]
    return Outside(counted, tuple(tuple(pair["concat"]) for pair in pairs))


def _ports(name: str) -> list[tuple[str, str]]:
    """Which bridges of the edge a container hangs on, and its interface there."""
    if name == layout.EDGE:
        return []
    second = "infra" if name == layout.CONTROL else "transit"
    return [("underlay", layout.UNDERLAY_PORT), (second, layout.SECOND_PORT)]


def _mac(kind: int, index: int) -> str:
    """A stable, locally administered address, so that neighbours' caches stay right across restarts."""
    return f"02:4c:5a:{kind:02x}:{index >> 8:02x}:{index & 255:02x}"


def _add_namespace(name: str) -> None:
    # A name without a namespace is what a reboot or a killed run leaves where /run is not a tmpfs.
    (layout.NETNS / name).unlink(missing_ok=True)
    run(["ip", "netns", "add", name])


def _write_sysctl(namespace: str, values: dict[str, int]) -> None:
    lines = [f"[ ! -e /proc/sys/{key} ] || echo {value} > /proc/sys/{key}\n" for key, value in values.items()]
    run(["ip", "netns", "exec", namespace, "sh", "-es"], stdin="".join(lines))


def _ip(namespace: str | None, batch: list[str]) -> None:
    where = ["-n", namespace] if namespace else []
    run(["ip", *where, "-batch", "-"], stdin="\n".join([*batch, ""]))


def _nft(namespace: str, rules: str) -> None:
    run(["ip", "netns", "exec", namespace, "nft", "-f", "-"], stdin=rules)


def remove_namespace(name: str) -> None:
    """Take a namespace away with all interfaces in it; absent is fine."""
    run(["ip", "netns", "delete", name], check=False)
    (layout.NETNS / name).unlink(missing_ok=True)


def kill_in_namespace(name: str, signal_number: int) -> list[int]:
    """Signal whatever process lives in namespace `name`; the pids."""
    pids = [int(pid) for pid in run(["ip", "netns", "pids", name], check=False).stdout.split()]
    for pid in pids:
        try:
            os.kill(pid, signal_number)
        except ProcessLookupError:
            continue
    return pids
