"""`vm`: from PUT of a machine to its guest's first prompt, against raw QEMU with the same arguments. Needs a rack.

The raw side runs the very arguments ours was started with, on the same host, with a fresh overlay of the same image made
before its clock starts. The prompt on the serial console does not wait for the network, which the raw side has not. Every
start takes seconds, many without KVM: so there are few pairs, and fewer when the budget runs out.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.pairing import Block, Effort, Figure, Metric, Say, Wrong, compare
from bench.rackside import CLOCK, Cloud, cloud, control_cpu, interface, network
from bench.ratios import Target
from lazur.lifecycle.rack import Rack, layout

_METRICS = (Metric("wall", "s from the request to the guest's first prompt", Target(1.10, 1.25)),)
_MARKER = b"login:"
_SECONDS = 120.0
_PAIRS = 4
_BUDGET = 100.0
_PAUSE = 0.01
_FOLDER = "/run/lazur/bench-vm"
_TAP = "tbenchraw"
_KINDS = {"vm": "Microsoft.Compute/virtualMachines", "nic": "Microsoft.Network/networkInterfaces"}
_IMAGE = {"publisher": "Lazur", "offer": "TinyLinux", "sku": "1", "version": "latest"}


@dataclass(frozen=True)
class Raw:
    """How one of our machines was started: where, with what, on which image. Files renamed, disk replaced, tap our own."""

    host: str
    argv: tuple[str, ...]
    backing: str


async def run(effort: Effort, say: Say) -> tuple[list[Figure], dict[str, Any]]:
    """The figures of the smallest machine of the tiny image."""
    async with cloud() as found:
        await found.put(found.id("Microsoft.Network/virtualNetworks", "net"), network(found.rack.site.region))
        learned: list[Raw] = []

        async def ours() -> Block:
            return _told("ours", await _ours(found, learned), say)

        # The first one warms what can be warm: a start is a start.
        await ours()
        raw = learned[0]
        say(f"  on {raw.host}, {raw.argv[raw.argv.index('-accel') + 1]}")
        container = found.rack.container(raw.host)
        container.run(["ip", "tuntap", "add", "dev", _TAP, "mode", "tap"])
        try:

            async def floor() -> Block:
                return _told("raw", await _raw(found.rack, raw), say)

            few = replace(effort, pairs=min(effort.pairs, _PAIRS), budget=_BUDGET, warm=False)
            return await compare(_METRICS, floor, floor, ours, few, say)
        finally:
            container.run(["ip", "link", "delete", "dev", _TAP], check=False)
            container.run(["rm", "-rf", _FOLDER], check=False)


def _told(side: str, block: Block, say: Say) -> Block:
    say(f"    {side}: {block.costs['wall']:.1f} s")
    return block


async def _ours(found: Cloud, learned: list[Raw]) -> Block:
    """One machine, from its PUT to its prompt; its interface is there before, and all of it is gone afterwards."""
    nic, machine = found.id(_KINDS["nic"], "bench"), found.id(_KINDS["vm"], "bench")
    await found.put(nic, interface(found))
    before, cpu, begun = _serials(found.rack), control_cpu(), CLOCK.monotonic()
    operation = await found.submit(machine, _machine(found, nic))
    log = await _prompt(lambda: _serials(found.rack) - before, begun)
    wall, spent = CLOCK.monotonic() - begun, control_cpu() - cpu
    await found.ended(operation)
    if not learned:
        learned.append(_learn(found.rack, log))
    await found.delete(machine)
    await found.delete(nic)
    return Block({"wall": wall}, {"controlCpuMs": spent * 1e3})


def _machine(found: Cloud, nic: str) -> dict[str, Any]:
    disk = {"createOption": "FromImage", "deleteOption": "Delete"}
    properties = {
        "hardwareProfile": {"vmSize": "Standard_B1ls"},
        "storageProfile": {"imageReference": _IMAGE, "osDisk": disk},
        "osProfile": {"computerName": "bench", "adminUsername": "azureuser", "adminPassword": "Lazur-12345"},
        "networkProfile": {"networkInterfaces": [{"id": nic}]},
    }
    return {"location": found.rack.site.region, "properties": properties}


def _serials(rack: Rack) -> set[Path]:
    """Every machine's serial log, as this machine sees it."""
    hosts = [name for name in rack.names if layout.kind_of(name) == "host"]
    return {path for host in hosts for path in rack.container(host).state.glob("**/serial.log")}


async def _prompt(candidates: Any, begun: float) -> Path:
    """The log among `candidates` in which the prompt appears first."""
    while CLOCK.monotonic() < begun + _SECONDS:
        for path in candidates():
            with suppress(OSError):
                if _MARKER in path.read_bytes():
                    found: Path = path
                    return found
        await CLOCK.sleep(_PAUSE)
    raise Wrong(f"no prompt within {_SECONDS:g} s")


def _learn(rack: Rack, log: Path) -> Raw:
    """The arguments of the machine that writes `log`, made to stand beside it."""
    host = next(n for n in rack.names if rack.container(n).state in log.parents)
    container = rack.container(host)
    argv, disk, cd = beside(_arguments(log.parent.name), _FOLDER, _TAP)
    seen = json.loads(container.run(["qemu-img", "info", "--force-share", "--output=json", disk]).stdout)
    container.run(["mkdir", "-p", _FOLDER])
    container.run(["cp", cd, f"{_FOLDER}/cd.iso"])
    return Raw(host, argv, seen["full-backing-filename"])


def beside(argv: Sequence[str], folder: str, tap: str) -> tuple[tuple[str, ...], str, str]:
    """`argv` with every file in `folder` and another tap, so that it runs beside the original; its OS disk and its CD."""
    run_folder = argv[argv.index("-pidfile") + 1].removesuffix("/pid")
    serial = next(a.partition("logfile=")[2].partition(",")[0] for a in argv if "logfile=" in a)
    nodes = [json.loads(argv[n + 1]) for n, a in enumerate(argv) if a == "-blockdev"]
    disk, cd = (next(n["file"]["filename"] for n in nodes if n["driver"] == d) for d in ("qcow2", "raw"))
    moved = {run_folder: folder, serial: f"{folder}/serial.log", disk: f"{folder}/os.qcow2", cd: f"{folder}/cd.iso"}
    # The longest first: the CD lies below the run folder or beside the log.
    order = sorted(moved, key=len, reverse=True)
    fresh = []
    for argument in argv:
        said = re.sub("|".join(map(re.escape, order)), lambda found: moved[found[0]], argument)
        fresh.append(re.sub(r"ifname=[^,]+", f"ifname={tap}", said) if said.startswith("tap,") else said)
    return tuple(fresh), disk, cd


def _arguments(uid: str) -> list[str]:
    """The command line of the QEMU of machine `uid`."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
                if any(word.endswith(f"/{uid}/pid") for word in words):
                    return words
    raise Wrong(f"no process of machine {uid}")


async def _raw(rack: Rack, raw: Raw) -> Block:
    """One start of QEMU by hand, from the moment before it is executed to its prompt."""
    container = rack.container(raw.host)
    root = Path(f"/proc/{container.pid()}/root")
    log, pid_file = root / f"{_FOLDER}/serial.log".lstrip("/"), root / f"{_FOLDER}/pid".lstrip("/")
    log.unlink(missing_ok=True)
    container.run(["rm", "-f", f"{_FOLDER}/os.qcow2"])
    container.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", raw.backing, f"{_FOLDER}/os.qcow2"])
    script = 'date +%s%N >"$1/begun"; shift; exec setsid --fork "$@" >/dev/null 2>&1'
    container.run(["sh", "-euc", script, "sh", _FOLDER, *raw.argv])
    try:
        await _prompt(lambda: [log], CLOCK.monotonic())
        return Block({"wall": time.time() - int((root / f"{_FOLDER}/begun".lstrip("/")).read_text()) / 1e9})
    finally:
        await _end(pid_file, container.pid())


async def _end(pid_file: Path, first: int) -> None:
    """Kill the QEMU we started, found by its own pid file, and wait until it is gone."""
    name = os.fsencode(f"{_FOLDER}/pid")
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        with suppress(OSError):
            mine = name in (folder / "cmdline").read_bytes().split(b"\0")
            if mine and (folder / "ns/pid").stat().st_ino == Path(f"/proc/{first}/ns/pid").stat().st_ino:
                os.kill(int(folder.name), signal.SIGKILL)
                while folder.exists() and (folder / "cmdline").read_bytes():
                    await CLOCK.sleep(_PAUSE)
    pid_file.unlink(missing_ok=True)
