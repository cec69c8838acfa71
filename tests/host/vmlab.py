"""One real host for machine tests: a network namespace with its own Open vSwitch, QEMU from the host image in it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from lazur.drivers.block.interface import BlockPool
from lazur.drivers.block.qcow2 import Qcow2Pool, Qcow2Settings
from lazur.drivers.hypervisor.qemu import QemuHypervisor, QemuSettings
from lazur.drivers.switch.ovs import OvsSettings, OvsSwitch
from lazur.kernel.clock import Clock
from lazur.providers.compute.hosting.guests import FileGuests
from lazur.providers.compute.hosting.machines import HostParts
from lazur.providers.compute.hosting.provisioning import FileDiscs
from lazur.providers.compute.hosting.records import FileRecords
from tests.drivers import tools


class VmLab:
    """Everything below one short folder; `close` takes it all down."""

    def __init__(self) -> None:
        if os.geteuid() != 0:
            pytest.skip("SKIPPED REAL HOST: network namespaces need root")
        root = tools.host_image()
        self.folder = Path(tempfile.mkdtemp(prefix="ltvm-"))
        self.namespace = self.folder.name
        self._daemons: list[subprocess.Popen[bytes]] = []
        self.images = self.folder / "images"
        self.images.mkdir()
        (self.images / "tiny-test.qcow2").symlink_to(tools.tiny_image())
        self._inside: Sequence[str] = ("ip", "netns", "exec", self.namespace)
        self._database = f"unix:{self.folder}/db.sock"
        subprocess.run(["ip", "netns", "add", self.namespace], check=True)
        try:
            subprocess.run([*self._inside, "ip", "link", "set", "lo", "up"], check=True)
            schema = root / "usr/share/openvswitch/vswitch.ovsschema"
            database = self.folder / "conf.db"
            subprocess.run([*self._tool("ovsdb-tool"), "create", str(database), str(schema)], check=True)
            self._daemon("ovsdb-server", f"--remote=p{self._database}", "--no-chdir", str(database))
            self._vsctl("--no-wait", "init")
            self._daemon("ovs-vswitchd", self._database, f"--unixctl={self.folder}/v.ctl", "--no-chdir")
            self._vsctl("add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=netdev")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        for daemon in reversed(self._daemons):
            daemon.terminate()
            daemon.wait()
        subprocess.run(["ip", "netns", "delete", self.namespace], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def parts(self, clock: Clock) -> HostParts:
        """Fresh drivers over this host."""
        qemu = QemuSettings(
            run=self.folder / "vm",
            state=self.folder / "logs",
            images=self.folder / "none",
            verdict=self.folder / "accelerator",
            command=(*self._inside, *tools.command("qemu-system-x86_64")),
            environment=tools.environment(),
        )
        return HostParts(
            hypervisor=QemuHypervisor(qemu, clock),
            switch=self.switch(),
            discs=FileDiscs(self.folder / "cd"),
            records=FileRecords(self.folder / "machines"),
            guests=FileGuests(self.folder / "guest"),
            disks=self.folder / "disks",
        )

    def switch(self) -> OvsSwitch:
        vsctl = tuple(self._tool("ovs-vsctl"))
        return OvsSwitch(OvsSettings(database=self._database, prefix=self._inside, vsctl=vsctl))

    def pool(self) -> BlockPool:
        command, environment = tools.command("qemu-img"), tools.environment()
        return Qcow2Pool(Qcow2Settings(self.folder / "disks", self.images, command, environment))

    def processes(self) -> list[int]:
        """Process ids of the machines of this host."""
        mark = f"{self.folder}/vm/".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if mark in path.read_bytes():
                    found.append(int(path.parent.name))
            except OSError:
                continue
        return found

    def _tool(self, program: str) -> list[str]:
        root = tools.host_image()
        folder = "usr/sbin" if (root / "usr/sbin" / program).exists() else "usr/bin"
        loader = [str(root / "lib64/ld-linux-x86-64.so.2"), "--library-path", str(root / "usr/lib/x86_64-linux-gnu")]
        # Debian keeps ovs-vswitchd behind an alternative whose link is absolute.
        inner = root / "usr/lib/openvswitch-switch/ovs-vswitchd"
        return [*loader, str(inner if program == "ovs-vswitchd" else root / folder / program)]

    def _daemon(self, program: str, *arguments: str) -> None:
        environment = {**os.environ, "OVS_RUNDIR": str(self.folder), "OVS_LOGDIR": str(self.folder)}
        command = [*self._inside, *self._tool(program), "--log-file", *arguments]
        self._daemons.append(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL))
        time.sleep(0.5)

    def _vsctl(self, *arguments: str) -> None:
        subprocess.run([*self._tool("ovs-vsctl"), f"--db={self._database}", "--timeout=20", *arguments], check=True)
