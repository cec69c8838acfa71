"""The tiny image in a real QEMU: what the provisioning CD says comes true, and what is written stays.

QEMU comes from the host image and runs with user-mode networking on loopback; the wire server is a few lines here,
joined to 168.63.129.16 by one relay process per connection.
"""

from __future__ import annotations

import base64
import http.server
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pycdlib
import pytest

from lazur.kernel.clock import SystemClock
from lazur.lifecycle.guest_image import ensure_tiny_image
from lazur.lifecycle.guest_image.disk import raw_to_qcow2
from lazur.lifecycle.host_image import ensure_host_image
from lazur.lifecycle.project import cache_root

CLOCK = SystemClock()
UUID = "3a0e1c52-9d4f-4b0e-8a51-0c7f3a1b2c3d"
RELAY = """
import os, socket, sys, threading
link = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def up():
    while data := os.read(0, 65536):
        link.sendall(data)
    link.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
while data := link.recv(65536):
    os.write(1, data)
"""
GOAL_STATE = b"""<?xml version="1.0" encoding="utf-8"?>
<GoalState><Version>2012-11-30</Version><Incarnation>7</Incarnation><Container><ContainerId>container-1</ContainerId>
<RoleInstanceList><RoleInstance><InstanceId>role-1</InstanceId></RoleInstance></RoleInstanceList></Container></GoalState>"""

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mmdebstrap") is None or shutil.which("ssh") is None,
    reason="needs root, mmdebstrap and an ssh client to build the image and visit the guest",
)


def until(what: str, check: Callable[[], Any], seconds: float = 180.0) -> Any:
    """The first true answer of `check`; fails with `what` after `seconds`."""
    deadline = CLOCK.monotonic() + seconds
    while CLOCK.monotonic() < deadline:
        if answer := check():
            return answer
        threading.Event().wait(0.2)
    raise AssertionError(f"never came true: {what}")


class Wire:
    """A wire server that hands out one goal state and keeps what is posted."""

    def __init__(self) -> None:
        posts: list[ET.Element] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def _answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                assert self.headers["x-ms-version"] == "2012-11-30"
                self._answer(GOAL_STATE)

            def do_POST(self) -> None:
                posts.append(ET.fromstring(self.rfile.read(int(self.headers["Content-Length"]))))
                self._answer(b"")

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.posts = posts
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Tools:
    """QEMU's programs, started through the host image's own loader."""

    def __init__(self, image: Path) -> None:
        self._image = image

    def command(self, program: str) -> list[str]:
        root = self._image
        loader = [f"{root}/usr/lib64/ld-linux-x86-64.so.2", "--library-path", f"{root}/usr/lib/x86_64-linux-gnu"]
        return [*loader, f"{root}/usr/bin/{program}"]

    def emulator(self) -> list[str]:
        folders = (f"{self._image}/usr/share/{name}" for name in ("qemu", "seabios"))
        return [*self.command("qemu-system-x86_64"), *(part for folder in folders for part in ("-L", folder))]

    def img(self, *arguments: str) -> str:
        return subprocess.run([*self.command("qemu-img"), *arguments], check=True, capture_output=True, text=True).stdout


class Guest:
    """One machine: its disk and CD in `folder`, its ports on loopback."""

    def __init__(self, folder: Path, tools: Tools, image: Path, wire: Wire, size: str = "1G") -> None:
        self.folder, self.tools, self.wire = folder, tools, wire
        self.disk = folder / "os.qcow2"
        tools.img("create", "-q", "-f", "qcow2", "-b", str(image), "-F", "qcow2", str(self.disk), size)
        self.relay = folder / "relay.py"
        self.relay.write_text(RELAY)
        self.process: subprocess.Popen[bytes] | None = None
        self.web, self.ssh_port = (_free_port() for _ in range(2))

    def start(self) -> None:
        """Switch on and wait for the page."""
        forward = f"hostfwd=tcp:127.0.0.1:{self.web}-:80,hostfwd=tcp:127.0.0.1:{self.ssh_port}-:22"
        # QEMU accepts an address to forward only inside its own network.
        network = "net=168.63.129.0/24,host=168.63.129.2,dns=168.63.129.3,dhcpstart=168.63.129.100"
        wire = f"guestfwd=tcp:168.63.129.16:80-cmd:{sys.executable} {self.relay} {self.wire.port}"
        argv = [*self.tools.emulator(), "-accel", "tcg,thread=multi,tb-size=32", "-machine", "q35,usb=off,vmport=off"]
        argv += ["-cpu", "max", "-smp", "1", "-m", "128", "-nodefaults", "-vga", "std", "-display", "none"]
        argv += ["-smbios", f"type=1,uuid={UUID}", "-device", "virtio-scsi-pci,id=scsi0"]
        argv += ["-blockdev", f"driver=qcow2,node-name=os,file.driver=file,file.filename={self.disk}"]
        argv += ["-device", "scsi-hd,bus=scsi0.0,scsi-id=0,lun=0,drive=os,bootindex=0"]
        if (cd := self.folder / "cd.iso").exists():
            argv += ["-blockdev", f"driver=raw,node-name=cd,read-only=on,file.driver=file,file.filename={cd}"]
            argv += ["-device", "scsi-cd,bus=scsi0.0,scsi-id=0,lun=1,drive=cd"]
        argv += ["-device", "virtio-scsi-pci,id=scsi1", "-device", "virtio-net-pci,netdev=n0,romfile="]
        argv += ["-netdev", f"user,id=n0,{network},{forward},{wire}", "-serial", f"file:{self.folder / 'serial.log'}"]
        argv += ["-qmp", f"unix:{self.folder / 'qmp'},server=on,wait=off"]
        with (self.folder / "qemu.log").open("ab") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until("the guest serves HTTP", lambda: self.get("/health") == (200, "OK\n"))
        # That comes before ssh does; QEMU began the log anew.
        until("all its services listen", lambda: b"LAZUR-READY" in (self.folder / "serial.log").read_bytes())

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; status 0 while nobody answers."""
        assert self.process is not None and self.process.poll() is None, (self.folder / "qemu.log").read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.web}{path}", timeout=2) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def ssh(self, command: str, *, password: str | None = None, user: str = "azureuser") -> str:
        """Output of a command run in the guest, by key or by password."""
        argv = ["ssh", "-q", "-p", str(self.ssh_port), "-o", f"UserKnownHostsFile={self.folder / 'known_hosts'}"]
        argv += ["-o", "StrictHostKeyChecking=accept-new", "-o", "ConnectTimeout=20", "-o", "IdentitiesOnly=yes"]
        environment = dict(os.environ)
        if password is None:
            argv += ["-i", str(self.folder / "key"), "-o", "PasswordAuthentication=no"]
        else:
            ask = self.folder / "ask"
            ask.write_text(f"#!/bin/sh\ncat <<'END'\n{password}\nEND\n")
            ask.chmod(0o700)
            environment |= {"SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
            argv += ["-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1"]
        argv += [f"{user}@127.0.0.1", command]
        done = subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{command!r}: {done.returncode} {done.stderr} {done.stdout}"
        return done.stdout

    def qmp(self, command: str, **arguments: object) -> None:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(self.folder / "qmp"))
            with link.makefile("rw") as stream:
                stream.readline()
                for execute, values in (("qmp_capabilities", {}), (command, arguments)):
                    stream.write(json.dumps({"execute": execute, "arguments": values}) + "\n")
                    stream.flush()
                    while not (answer := json.loads(stream.readline())).keys() & {"return", "error"}:
                        pass
                    assert "return" in answer, answer

    def power_button(self) -> None:
        """Press it and wait until the machine is off."""
        assert self.process is not None
        self.qmp("system_powerdown")
        assert self.process.wait(timeout=60) == 0
        assert "LAZUR-STOPPING" in (self.folder / "serial.log").read_text()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def provision(self, inner: str) -> None:
        """Put a CD in whose provisioning set is `inner`."""
        windows = "http://schemas.microsoft.com/windowsazure"
        text = f"""<?xml version="1.0" encoding="utf-8"?>
            <Environment xmlns="http://schemas.dmtf.org/ovf/environment/1" xmlns:wa="{windows}"><wa:ProvisioningSection>
            <wa:Version>1.0</wa:Version><wa:LinuxProvisioningConfigurationSet>{inner}</wa:LinuxProvisioningConfigurationSet>
            </wa:ProvisioningSection><wa:PlatformSettingsSection><wa:PlatformSettings/></wa:PlatformSettingsSection>
            </Environment>""".encode()
        iso = pycdlib.PyCdlib()
        iso.new(interchange_level=3, joliet=3, udf="2.60")
        iso.add_fp(io.BytesIO(text), len(text), "/OVF_ENV.XML;1", joliet_path="/ovf-env.xml", udf_path="/ovf-env.xml")
        iso.write(str(self.folder / "cd.iso"))
        iso.close()

    def key(self) -> str:
        """A new key pair of the visitor; its public half."""
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / "key")], check=True)
        return (self.folder / "key.pub").read_text().strip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _text(document: ET.Element, name: str) -> str:
    found = document.find(f".//{name}")
    assert found is not None and found.text
    return found.text


@pytest.fixture(scope="module")
def image() -> Path:
    return ensure_tiny_image(cache_root(), print)


@pytest.fixture(scope="module")
def tools() -> Tools:
    return Tools(ensure_host_image(cache_root(), print))


@pytest.fixture
def guest(tmp_path: Path, image: Path, tools: Tools) -> Iterator[Guest]:
    wire = Wire()
    machine = Guest(tmp_path, tools, image, wire)
    yield machine
    machine.kill()
    wire.close()


def test_the_image_is_a_sound_disk_and_is_built_once(image: Path, tools: Tools) -> None:
    said: list[str] = []
    assert ensure_tiny_image(cache_root(), said.append) == image
    assert said == []
    tools.img("check", str(image))
    catalogue = json.loads(Path(sys.modules["lazur.lifecycle.guest_image"].__path__[0], "catalogue.json").read_text())
    described = json.loads(tools.img("info", "--output=json", str(image)))
    assert described["virtual-size"] == catalogue["virtualSizeBytes"]


def test_the_qcow2_writer_keeps_every_byte(tmp_path: Path, tools: Tools) -> None:
    raw, packed, back = (tmp_path / name for name in ("raw", "packed", "back"))
    with raw.open("wb") as disk:
        disk.truncate(1 << 30)
        for place in (0, 65535, 5 << 20, (1 << 29) - 1, (1 << 30) - 4096):
            disk.seek(place)
            disk.write(bytes(range(1, 256)) * 16)
    raw_to_qcow2(raw, packed)
    tools.img("check", str(packed))
    tools.img("convert", "-O", "raw", str(packed), str(back))
    assert subprocess.run(["cmp", str(raw), str(back)], check=False).returncode == 0


def test_a_first_boot_is_what_the_provisioning_cd_asked_for(guest: Guest) -> None:
    script = base64.b64encode(b"#!/bin/sh\necho made by $(id -un) on $(hostname) > /www/custom.txt\n").decode()
    path = "<wa:Path>/home/azureuser/.ssh/authorized_keys</wa:Path>"
    key = f"<wa:PublicKey>{path}<wa:Value>{guest.key()}</wa:Value></wa:PublicKey>"
    keys = f"<wa:SSH><wa:PublicKeys>{key}</wa:PublicKeys></wa:SSH>"
    guest.provision(
        "<wa:HostName>web-a</wa:HostName><wa:UserName>azureuser</wa:UserName>"
        f"<wa:DisableSshPasswordAuthentication>true</wa:DisableSshPasswordAuthentication>{keys}"
        f"<wa:CustomData>{script}</wa:CustomData>"
    )
    guest.start()
    assert guest.get("/") == (200, "Hello from web-a\n")

    until("the guest reports", lambda: guest.wire.posts)
    report = guest.wire.posts[0]
    names = ("State", "GoalStateIncarnation", "ContainerId", "InstanceId")
    assert [_text(report, name) for name in names] == ["Ready", "7", "container-1", "role-1"]

    assert guest.ssh("id -u; hostname; sudo -n id -u").split() == ["1000", "web-a", "0"]
    assert until("the custom data ran", lambda: guest.get("/custom.txt")[0] == 200)
    assert guest.get("/custom.txt") == (200, "made by root on web-a\n")

    # A larger disk is used to its end.
    until("the root filesystem grew", lambda: int(guest.ssh("df -m / | awk 'NR == 2 { print $2 }'")) > 900)

    # A target that answers 500 while the port stays open.
    assert guest.get("/cgi-bin/health") == (200, "OK\n")
    guest.ssh("sudo touch /var/lib/sick")
    assert guest.get("/cgi-bin/health") == (500, "sick\n")
    assert guest.get("/health") == (200, "OK\n")

    data = guest.folder / "data.qcow2"
    guest.tools.img("create", "-q", "-f", "qcow2", str(data), "64M")
    guest.qmp("blockdev-add", driver="qcow2", **{"node-name": "d1"}, file={"driver": "file", "filename": str(data)})
    guest.qmp("device_add", driver="scsi-hd", id="data1", bus="scsi1.0", lun=3, drive="d1")
    until("the plugged disk appears", lambda: "sdb" in guest.ssh("cat /proc/partitions"))
    guest.ssh("sudo mkfs.ext4 -q /dev/sdb && sudo mount /dev/sdb /mnt && sudo touch /mnt/x && sudo umount /mnt")


def test_files_outlive_the_power_button_and_the_power_cut(guest: Guest) -> None:
    secret = "A&b<c>'$d\" 1"
    guest.provision(
        "<wa:HostName>keeper</wa:HostName><wa:UserName>azureuser</wa:UserName>"
        "<wa:UserPassword>A&amp;b&lt;c&gt;&apos;$d&quot; 1</wa:UserPassword>"
        "<wa:DisableSshPasswordAuthentication>false</wa:DisableSshPasswordAuthentication>"
    )
    guest.start()
    guest.ssh("echo one > kept", password=secret)
    guest.power_button()
    (guest.folder / "cd.iso").unlink()
    reports = len(guest.wire.posts)

    guest.start()
    # The same host key, or ssh would refuse.
    assert guest.ssh("cat kept; hostname", password=secret).split() == ["one", "keeper"]
    until("the guest reports again", lambda: len(guest.wire.posts) > reports)
    guest.ssh("echo two > kept; sync", password=secret)
    guest.kill()

    guest.start()
    assert guest.ssh("cat kept", password=secret) == "two\n"


def test_a_provisioning_that_fails_is_reported_with_its_cause(guest: Guest) -> None:
    guest.provision("<wa:HostName>broken</wa:HostName><wa:UserName>no such/user</wa:UserName>")
    guest.start()
    until("the guest reports", lambda: guest.wire.posts)
    report = guest.wire.posts[0]
    assert (_text(report, "State"), _text(report, "SubStatus")) == ("NotReady", "ProvisioningFailed")
    assert "UserName" in _text(report, "Description")
