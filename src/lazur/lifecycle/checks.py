"""Pre-checks: can this machine carry the site? What is found is probed first, what it means is decided purely.

Must never change the machine: what a probe makes is in namespaces that end with it.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from pathlib import Path

from lazur.kernel.errors import LazurError
from lazur.lifecycle.mirrors import located, mirrors
from lazur.lifecycle.site import Profile, Site

PLATFORM_MIB = 1024
"""What the platform itself may use on a machine, guests left out, in MiB."""

_ROOT_EXPLAINED = (
    "namespaces, virtual links, overlay mounts and routes of the rack in a box are made by root. Run it with sudo, or "
    "use `--simulated`: the same control plane on simulated hosts, without privilege and without packets"
)


@dataclass(frozen=True)
class Demand:
    """How much of what a site promises its guests a machine must really have, by profile."""

    least_cores: int
    core_share: float
    memory_share: float
    host_mib: int
    disk_gib: int


PROFILES: Mapping[Profile, Demand] = {
    "laptop": Demand(least_cores=2, core_share=1 / 8, memory_share=0.0, host_mib=512, disk_gib=8),
    "lab": Demand(least_cores=4, core_share=1 / 4, memory_share=0.5, host_mib=0, disk_gib=40),
    "rack": Demand(least_cores=4, core_share=1.0, memory_share=1.0, host_mib=0, disk_gib=200),
}


@dataclass(frozen=True)
class Facts:
    """What was found on the machine. Memory in MiB, disk in GiB; `lacking` maps a kernel feature to the proof of its
    absence; `routes` are destinations with what leads there, the rack's own left out; `mirrors` the addresses it gets its
    packages from, with what they are."""

    root: bool
    cores: int
    memory_mib: int
    disk_gib: Mapping[Path, int]
    lacking: Mapping[str, str]
    routes: Sequence[tuple[IPv4Network, str]]
    mirrors: Sequence[tuple[IPv4Network, str]]
    hosts_file_writable: bool


@dataclass(frozen=True)
class Finding:
    """A failed check: what was found and what is needed; `switch` accepts it, or is empty where nothing can."""

    check: str
    found: str
    needed: str
    switch: str
    accepted: bool = False

    def __str__(self) -> str:
        ending = f"; accept with {self.switch}" if self.switch else ""
        return f"{self.check}: found {self.found}; needed: {self.needed}{' (accepted)' if self.accepted else ending}"


CHECKS = ("root", "cores", "memory", "disk", "kernel", "routes", "mirrors", "hosts-file")


def run_checks(
    site: Site,
    profile: Profile,
    accepted: Collection[str],
    *,
    places: Sequence[Path],
    own_links: Collection[str] = (),
    facts: Facts | None = None,
) -> list[Finding]:
    """Every failed check of the machine for `site` under `profile`, those named in `accepted` marked so.

    `places` are the folders that will hold state and cache; `own_links` the interfaces an earlier `up` left standing,
    whose routes are no obstacle. `facts` replaces the probing. Raises `LazurError` for a name in `accepted` that is no
    check.
    """
    if unknown := sorted(set(accepted) - set(CHECKS)):
        raise LazurError("UnknownCheck", f"--accept {', '.join(unknown)}: the checks are {', '.join(CHECKS)}.")
    found = facts or probe(places, own_links)
    return [
        replace(finding, accepted=bool(finding.switch) and finding.check in accepted)
        for finding in decide(site, profile, found)
    ]


def refuse(findings: Sequence[Finding]) -> None:
    """Raise `LazurError` `PreCheckFailed` with every finding that was not accepted; return if there is none."""
    causes = [LazurError("PreCheckFailed", str(finding), target=finding.check) for finding in findings if not finding.accepted]
    if causes:
        raise LazurError("PreCheckFailed", "This machine cannot carry the site as it is; nothing was changed.", details=causes)


def decide(site: Site, profile: Profile, facts: Facts) -> Iterator[Finding]:
    """The failed checks, from facts alone."""
    if not facts.root:
        yield Finding("root", "an ordinary user", _ROOT_EXPLAINED, "")
        return
    yield from _capacity(site, profile, facts)
    for feature, proof in sorted(facts.lacking.items()):
        yield Finding("kernel", f"no {feature} ({proof})", f"a kernel with {feature}", "--accept kernel")
    for name, prefix in site.networks.prefixes():
        if rivals := [f"{net} on {link}" for net, link in facts.routes if net.overlaps(prefix)]:
            needed = f"no route that overlaps the {name} network {prefix}; the site file can name another prefix"
            yield Finding("routes", f"a route to {', '.join(rivals)}", needed, "--accept routes")
        if rivals := [f"{what} at {net.network_address}" for net, what in facts.mirrors if net.overlaps(prefix)]:
            needed = f"none of them in the {name} network {prefix}, which hides them; the site file can name another prefix"
            yield Finding("mirrors", ", ".join(rivals), needed, "--accept mirrors")
    if not facts.hosts_file_writable:
        needed = "a writable /etc/hosts, so that the stamp's names resolve here"
        yield Finding("hosts-file", "a read-only /etc/hosts", needed, "--accept hosts-file")


def _capacity(site: Site, profile: Profile, facts: Facts) -> Iterator[Finding]:
    demand, hosts = PROFILES[profile], site.hosts
    reason = f"for {len(hosts)} hosts under the {profile} profile"
    cores = max(demand.least_cores, round(sum(host.cores for host in hosts) * demand.core_share))
    if facts.cores < cores:
        yield Finding("cores", f"{facts.cores} cores", f"{cores} {reason}", "--accept cores")
    memory = PLATFORM_MIB + sum(demand.host_mib + round(host.memory_mib * demand.memory_share) for host in hosts)
    if facts.memory_mib < memory:
        yield Finding("memory", f"{facts.memory_mib} MiB", f"{memory} MiB {reason}", "--accept memory")
    for place, free in facts.disk_gib.items():
        if free < demand.disk_gib:
            needed = f"{demand.disk_gib} GiB there under the {profile} profile"
            yield Finding("disk", f"{free} GiB free for {place}", needed, "--accept disk")


def probe(places: Sequence[Path], own_links: Collection[str] = ()) -> Facts:
    """Look at this machine. Kernel features are tried, not guessed from its version; that needs root."""
    root = os.geteuid() == 0
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal:"))
    return Facts(
        root=root,
        cores=len(os.sched_getaffinity(0)),
        memory_mib=int(memory.split()[1]) // 1024,
        disk_gib={place: shutil.disk_usage(_existing(place)).free >> 30 for place in places},
        lacking=_lacking(_existing(places[0])) if root else {},
        routes=[route for route in (*_routes(), *_nameservers()) if route[1] not in own_links] if root else [],
        mirrors=located(mirrors(os.environ)) if root else [],
        hosts_file_writable=os.access("/etc/hosts", os.W_OK),
    )


def _existing(place: Path) -> Path:
    return next(folder for folder in (place, *place.parents) if folder.is_dir())


def _lacking(state: Path) -> dict[str, str]:
    """The features this kernel or its guard refuses, each with the refusal."""
    with tempfile.TemporaryDirectory(prefix=".lazur-check-", dir=state) as scratch:
        quoted = shlex.quote(scratch)
        overlay = f"mkdir {quoted}/low {quoted}/up {quoted}/wrk {quoted}/all && mount -t overlay overlay"
        overlay += f" -o lowerdir={quoted}/low,upperdir={quoted}/up,workdir={quoted}/wrk {quoted}/all"
        attempts = {
            "network namespaces": "true",
            "veth": "ip link add lz0 type veth peer name lz1",
            "bridge": "ip link add lz2 type bridge",
            "tun": "ip tuntap add lz3 mode tap",
            "nf_tables": "nft add table inet lazur",
            "overlayfs": overlay,
        }
        refusals = {feature: _refusal(attempt) for feature, attempt in attempts.items()}
    return {feature: refusal for feature, refusal in refusals.items() if refusal is not None}


def _refusal(attempt: str) -> str | None:
    """None if `attempt` works in namespaces of its own, else what was said against it."""
    namespaces = ["unshare", "--net", "--mount", "--propagation", "private"]
    done = subprocess.run([*namespaces, "sh", "-c", attempt], capture_output=True, text=True, timeout=30, check=False)
    said = done.stderr.strip().splitlines()
    return None if done.returncode == 0 else said[-1] if said else f"exit status {done.returncode}"


def _routes() -> list[tuple[IPv4Network, str]]:
    """Where this machine sends IPv4 packets, its default routes left out: the rack's are always closer."""
    shown = subprocess.run(["ip", "-json", "-4", "route", "show"], capture_output=True, text=True, check=True)
    routes = [(route["dst"], route.get("dev", route.get("type", "?"))) for route in json.loads(shown.stdout)]
    return [(IPv4Network(destination), link) for destination, link in routes if destination != "default"]


def _nameservers() -> Iterator[tuple[IPv4Network, str]]:
    """The name servers this machine asks: a rack that took their addresses would cut it off."""
    configuration = Path("/etc/resolv.conf")
    for line in configuration.read_text().splitlines() if configuration.exists() else ():
        if line.startswith("nameserver ") and ":" not in (address := line.split()[1]):
            yield IPv4Network(address), "/etc/resolv.conf"
