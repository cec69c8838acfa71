"""The raw side of the machine benchmark runs the arguments of a real machine, with nothing of that machine's own."""

from __future__ import annotations

from bench.vm import beside
from lazur.drivers.hypervisor.arguments import Files, qemu_arguments
from lazur.drivers.hypervisor.interface import Disk, Machine, Nic

_UID = "11111111-2222-4333-8444-555555555555"
_RUN, _STATE = f"/run/lazur/vm/{_UID}", f"/var/lib/lazur/host/vm/{_UID}"


def _argv() -> list[str]:
    files = Files(f"{_RUN}/pid", f"{_RUN}/commands.sock", f"{_RUN}/events.sock", f"{_RUN}/console.sock", f"{_STATE}/serial.log")
    machine = Machine(
        _UID, _UID, "vm1", 1, 512, Disk(_UID, "/var/lib/lazur/disks/os.qcow2"),
        nics=[Nic("t0123456789", "00:0d:3a:01:02:03")], cd=f"{_STATE}/provisioning.iso",
    )  # fmt: skip
    return ["qemu-system-x86_64", *qemu_arguments(machine, files, "tcg")]


def test_only_files_and_the_tap_differ() -> None:
    argv = _argv()
    moved, disk, cd = beside(argv, "/run/bench", "tbench")
    assert (disk, cd) == ("/var/lib/lazur/disks/os.qcow2", f"{_STATE}/provisioning.iso")
    assert len(moved) == len(argv)
    text = " ".join(moved)
    for own in (_RUN, _STATE, disk, "t0123456789"):
        assert own not in text
    for fresh in ("pid", "commands.sock", "serial.log", "os.qcow2", "cd.iso"):
        assert f"/run/bench/{fresh}" in text
    same = [a for a, b in zip(argv, moved, strict=True) if a == b]
    assert len(argv) - len(same) == 7, "pid file, three sockets, disk, CD, tap"
