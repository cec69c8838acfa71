"""What the tests of a rack share: whether this machine can carry one, and what it would leave behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lazur.kernel.clock import SystemClock
from lazur.lifecycle.hosts_file import HostsFile
from lazur.lifecycle.project import ROOT, cache_root
from lazur.lifecycle.rack import Rack, layout, network, processes
from lazur.lifecycle.site import Site

PATIENCE = 60.0
MIB = 1 << 20
HOSTS = "127.0.0.1 localhost\n"
# Of the range for benchmarks, which no network routes.
OUTSIDE = "198.18.0.1"
CHECKS = ("cores", "memory", "disk", "hosts-file")


def obstacle() -> str:
    """Why a rack cannot be made here; empty when it can."""
    if os.geteuid() != 0:
        return "a rack in a box needs root"
    if missing := [tool for tool in ("runc", "ip", "nft", "mmdebstrap") if shutil.which(tool) is None]:
        return f"a rack in a box needs {', '.join(missing)}"
    if "lz-control" in network.live_namespaces():
        return "another rack runs on this machine and has the addresses: lazur down"
    return ""


def eventually(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}"
        time.sleep(0.1)


def machine() -> set[str]:
    """What a rack could leave behind, one line each."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    shown = [
        json.loads(subprocess.run(["ip", "-j", *words], capture_output=True, check=True).stdout or "[]")
        for words in (["link"], ["address"], ["route"], ["netns", "list"])
    ]
    links, addresses, routes, namespaces = shown
    groups = [path for path in Path("/sys/fs/cgroup").rglob("lazur*") if path.is_dir()]
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout.splitlines()
    return {
        *(f"mount {point}" for point in mounts),
        *(f"link {link['ifname']}" for link in links),
        *(f"address {info['local']}" for link in addresses for info in link["addr_info"]),
        *(f"route {route['dst']} {route.get('dev')}" for route in routes),
        *(f"namespace {entry['name']}" for entry in namespaces),
        *(f"cgroup {path}" for path in groups),
        *(f"nft {table}" for table in tables),
        *(f"folder {path}" for path in (layout.RUNTIME, layout.NETNS) if path.exists()),
    }


def everyone(rack: Rack) -> dict[int, int]:
    """All processes of the rack with their start times."""
    firsts = [pid for name in rack.names if (pid := rack.container(name).pid())]
    return {pid: processes.started(pid) for first in firsts for pid in processes.in_pid_namespace(first)}


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for a rack's state, outside pytest's own, which another run of pytest may clear away."""
    folder = Path(tempfile.mkdtemp(prefix="lazur-rack-", dir="/var/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def rack_in(folder: Path) -> Rack:
    """A rack whose state and hosts file lie in `folder`."""
    hosts_file = folder / "hosts"
    hosts_file.write_text(HOSTS)
    site = Site.load(ROOT / "sites" / "laptop.yaml")
    return Rack(site, folder / "state", cache_root(), SystemClock(), print, hosts_file=HostsFile(hosts_file))


def kill(rack: Rack, name: str) -> None:
    """Kill the first process of a container, and with it all of the container."""
    pid = rack.container(name).pid()
    assert pid > 1, f"{name} does not run"
    os.kill(pid, signal.SIGKILL)
    eventually(f"{name} is dead", lambda: not processes.members(f"{layout.CGROUP}/{name}"))
