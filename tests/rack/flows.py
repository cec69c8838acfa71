"""What the tests of a whole cloud share: ARM requests, machines, ssh into them, the page, and what survives what."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from lazur.kernel.clock import SystemClock
from lazur.kernel.errors import LazurError, Unavailable
from lazur.lifecycle.arm_client import ArmClient
from lazur.lifecycle.fsck import Facts, Finding, audit, gather
from lazur.lifecycle.quickstart import TEMPLATE, ssh_key
from lazur.lifecycle.rack import Rack, layout, processes
from tests.rack.support import PATIENCE

NETWORK, COMPUTE = "Microsoft.Network", "Microsoft.Compute"
USER = "azureuser"
SIZE = "Standard_B1ls"
IMAGE = {"publisher": "Lazur", "offer": "TinyLinux", "sku": "1", "version": "latest"}
# What is no data plane: with all of these dead, packets go on.
CONTROL_SERVICES = ("control", "executor-network", "executor-storage", "ovn-nb", "ovn-sb", "ovn-northd")

_SSH = ["ssh", "-q", "-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "ConnectTimeout=5"]

_T = TypeVar("_T")


def until(what: str, condition: Any, seconds: float = PATIENCE) -> Any:
    """The first true answer of `condition`; fails, naming the last one, when none comes."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}; last seen: {found!r}"
        time.sleep(0.2)
    return found


class Cloud:
    """A rack with a control plane, used the way a customer uses it."""

    def __init__(self, rack: Rack) -> None:
        self.rack = rack
        self.key = rack.paths.state / "quickstart" / "id_ed25519"
        self.public_key = ssh_key(self.key)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._client = ArmClient.of_file(rack.credentials, rack.paths.pki / "ca.pem", SystemClock())
        self._await(self._client.__aenter__())
        self.subscription = self._client.subscription

    def close(self) -> None:
        """End the client."""
        self._await(self._client.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _await(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    # Requests. As an SDK does, they are repeated while nobody answers.

    def path(self, group: str, kind: str, name: str) -> str:
        """The id of a resource."""
        return f"{self.subscription}/resourceGroups/{group}/providers/{kind}/{name}"

    def _patient(self, method: str, path: str, body: Any) -> tuple[Any, Any]:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self._await(self._client.exchange(method, path, body))
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def begin(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request; the headers to `finish` it with."""
        return self._patient(method, path, body)[0]

    def get(self, path: str) -> Any:
        """GET."""
        return self._patient("GET", path, None)[1]

    def finish(self, headers: Any, seconds: float = 300.0) -> Any:
        """Follow an operation to its end; raises its error."""
        url, deadline = headers.get("Azure-AsyncOperation"), time.monotonic() + seconds
        while url:
            found = self.get(url)
            if found["status"] == "Succeeded":
                return found
            if found["status"] in ("Failed", "Canceled"):
                raise LazurError.from_body(found["error"])
            assert time.monotonic() < deadline, f"did not end within {seconds:g} s: {found}"
            time.sleep(0.2)
        return None

    def put(self, path: str, body: Any) -> Any:
        """PUT and wait for the end; the resource."""
        self.finish(self.begin("PUT", path, body))
        return self.get(path)

    def post(self, path: str, action: str, query: str = "") -> Any:
        """An action and its end; what the request answered."""
        headers, found = self._patient("POST", f"{path}/{action}?api-version=2024-11-01{query}", None)
        self.finish(headers)
        return found

    def delete(self, path: str) -> None:
        """DELETE and wait until it is gone."""
        self.finish(self.begin("DELETE", path))
        until(f"{path} is gone", lambda: not self.exists(path), 180)

    def exists(self, path: str) -> bool:
        """Whether GET finds it."""
        try:
            self.get(path)
        except LazurError as error:
            if error.status != 404:
                raise
            return False
        return True

    def refused(self, method: str, path: str, body: Any = None) -> LazurError:
        """The error that a request or its operation ends with."""
        with pytest.raises(LazurError) as caught:
            self.finish(self.begin(method, path, body))
        return caught.value

    # Things to have

    def group(self, name: str) -> str:
        """A resource group that exists."""
        path = f"{self.subscription}/resourceGroups/{name}"
        self.put(path, {"location": self.rack.site.region})
        return path

    def body(self, properties: Any, **more: Any) -> dict[str, Any]:
        """A resource's document."""
        return {"location": self.rack.site.region, "properties": properties, **more}

    def start_example(self, group: str) -> tuple[str, Any]:
        """Begin the example deployment: its path and the headers to finish it with."""
        path = self.path(group, "Microsoft.Resources/deployments", "example")
        self.group(group)
        template = json.loads(TEMPLATE.read_text())
        parameters = {"sshPublicKey": {"value": self.public_key}}
        properties = {"mode": "Incremental", "template": template, "parameters": parameters}
        return path, self.begin("PUT", path, {"properties": properties})

    def example(self, group: str) -> Example:
        """The example, deployed."""
        path, headers = self.start_example(group)
        self.finish(headers)
        return self.deployed(group, path)

    def deployed(self, group: str, path: str) -> Example:
        """What a deployment of the example made."""
        outputs = self.get(path)["properties"]["outputs"]
        return Example(self, group, outputs["address"]["value"], outputs["machines"]["value"])

    def public_ip(self, group: str, name: str) -> tuple[str, str]:
        """A Standard address: its id and the address."""
        path = self.path(group, f"{NETWORK}/publicIPAddresses", name)
        found = self.put(path, self.body({"publicIPAllocationMethod": "Static"}, sku={"name": "Standard"}))
        return path, found["properties"]["ipAddress"]

    def vnet(self, group: str, prefix: str = "10.0.0.0/24") -> str:
        """A virtual network without NSG; the id of its one subnet."""
        path = self.path(group, f"{NETWORK}/virtualNetworks", "net")
        subnets = [{"name": "all", "properties": {"addressPrefix": prefix}}]
        self.put(path, self.body({"addressSpace": {"addressPrefixes": [prefix]}, "subnets": subnets}))
        return f"{path}/subnets/all"

    def nic(self, group: str, name: str, subnet: str, *, address: str = "", public: str = "", nsg: str = "") -> str:
        """A network interface; static when an address is given."""
        inner: dict[str, Any] = {"subnet": {"id": subnet}, "privateIPAllocationMethod": "Dynamic"}
        if address:
            inner |= {"privateIPAllocationMethod": "Static", "privateIPAddress": address}
        if public:
            inner["publicIPAddress"] = {"id": public}
        properties: dict[str, Any] = {"ipConfigurations": [{"name": "one", "properties": inner}]}
        if nsg:
            properties["networkSecurityGroup"] = {"id": nsg}
        path = self.path(group, f"{NETWORK}/networkInterfaces", name)
        self.put(path, self.body(properties))
        return path

    def nsg(self, group: str, name: str, ports: list[str]) -> str:
        """A network security group that lets TCP to `ports` in."""
        rule = {
            "priority": 100, "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "sourcePortRange": "*",
            "sourceAddressPrefix": "*", "destinationAddressPrefix": "*", "destinationPortRanges": ports,
        }  # fmt: skip
        path = self.path(group, f"{NETWORK}/networkSecurityGroups", name)
        self.put(path, self.body({"securityRules": [{"name": "in", "properties": rule}] if ports else []}))
        return path

    def machine_body(self, name: str, nic: str, *, size: str = SIZE, **profile: Any) -> dict[str, Any]:
        """The document of a machine; `profile` goes to osProfile."""
        key = {"path": f"/home/{USER}/.ssh/authorized_keys", "keyData": self.public_key}
        linux = {"disablePasswordAuthentication": "adminPassword" not in profile, "ssh": {"publicKeys": [key]}}
        return self.body({
            "hardwareProfile": {"vmSize": size},
            "storageProfile": {"imageReference": IMAGE, "osDisk": {"createOption": "FromImage"}},
            "osProfile": {"computerName": name, "adminUsername": USER, "linuxConfiguration": linux, **profile},
            "networkProfile": {"networkInterfaces": [{"id": nic}]},
            "diagnosticsProfile": {"bootDiagnostics": {"enabled": True}},
        })  # fmt: skip

    def vm(self, group: str, name: str) -> str:
        """The id of a machine."""
        return self.path(group, f"{COMPUTE}/virtualMachines", name)

    # Looking

    def ssh(self, address: str, command: str, port: int = 22, *, check: bool = True) -> str:
        """What `command` prints in the guest behind `address`."""
        argv = [*_SSH, "-i", str(self.key), "-o", "BatchMode=yes", "-p", str(port), f"{USER}@{address}", command]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0 or not check, f"{command!r} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def ssh_by_password(self, address: str, password: str, command: str) -> str:
        """What `command` prints for one who has no key; empty when the password does not open."""
        asker = self.rack.paths.state / "asker"
        asker.write_text('#!/bin/sh\necho "$LAZUR_TEST_PASSWORD"\n')
        asker.chmod(0o700)
        argv = [*_SSH, "-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1", f"{USER}@{address}", command]
        asked = {"SSH_ASKPASS": str(asker), "SSH_ASKPASS_REQUIRE": "force", "LAZUR_TEST_PASSWORD": password}
        environment = {**os.environ, **asked}
        done = subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        return done.stdout

    def download(self, url: str) -> tuple[int, bytes]:
        """Status and content of a signed address, asked for without any token."""
        context = ssl.create_default_context(cafile=str(self.rack.paths.pki / "ca.pem"))
        try:
            with urllib.request.urlopen(url, context=context, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def status(self, method: str, path: str, token: str) -> int:
        """How a request with somebody else's token is answered."""
        context = ssl.create_default_context(cafile=str(self.rack.paths.pki / "ca.pem"))
        url = f"{self._client.management}{path}?api-version=2024-11-01"
        asked = urllib.request.Request(url, method=method, headers={"Authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(asked, context=context, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def serial(self, vm: str) -> str:
        """A machine's serial log, as a customer gets it."""
        links = self.post(vm, "retrieveBootDiagnosticsData")
        status, content = self.download(links["serialConsoleLogBlobUri"])
        return content.decode(errors="replace") if status == 200 else ""

    def facts(self) -> Facts:
        """What is wanted and what is there."""
        return gather(self.rack)

    def findings(self) -> list[Finding]:
        """What the auditor says just now."""
        return audit(self.facts())

    def clean(self, seconds: float = PATIENCE) -> None:
        """The auditor finds nothing, now or shortly."""
        deadline = time.monotonic() + seconds
        while found := self.findings():
            assert time.monotonic() < deadline, "fsck: " + "; ".join(map(str, found))
            time.sleep(0.5)

    def guests(self) -> dict[int, int]:
        """Every guest's process with its start time."""
        return {pid: begun for host in self.hosts for pid, begun in self.guests_of(host).items()}

    def guests_of(self, host: str) -> dict[int, int]:
        """Those on one host."""
        found = {}
        for pid in processes.in_pid_namespace(self.rack.container(host).pid()):
            try:
                name = Path(f"/proc/{pid}/exe").readlink().name
            except OSError:
                continue
            if name.startswith("qemu-system"):
                found[pid] = processes.started(pid)
        return found

    @property
    def hosts(self) -> list[str]:
        """Names of the hosts."""
        return [name for name in self.rack.names if layout.kind_of(name) == "host"]

    def placed(self, vm: str) -> tuple[str, dict[str, Any]]:
        """The host a machine is on, and what that host is asked for."""
        owner = vm.lower()
        for desire in self.facts().control["desires"]:
            if desire["kind"] == "vm" and not desire["removed"] and desire["owner"].lower() == owner:
                return desire["domain"].partition("/")[2], desire["payload"]
        raise AssertionError(f"{vm} is on no host")

    def service_ready(self, container: str, service: str, restarts: int = 0) -> bool:
        """Whether a service runs after more than `restarts` restarts."""
        now = self.rack.container(container).services().get(service, {})
        return now.get("state") == "ready" and now["restarts"] >= restarts

    def all_ready(self) -> bool:
        """Whether every service of every container runs."""
        return all(s["state"] == "ready" for c in self.rack.status().containers for s in c.services.values())

    def kill(self, container: str, service: str) -> None:
        """kill -9 of one process, by its pid."""
        self.rack.container(container).kill(service, signal.SIGKILL)


@dataclass(frozen=True)
class Example:
    """A deployed example."""

    cloud: Cloud
    group: str
    address: str
    machines: list[str]

    def id(self, kind: str, name: str) -> str:
        """The id of one of its resources."""
        return self.cloud.path(self.group, kind, name)

    def vm(self, name: str) -> str:
        """The id of one of its machines."""
        return self.cloud.vm(self.group, name)

    def ssh(self, name: str, command: str, *, check: bool = True) -> str:
        """What a command prints on one machine, which is reached by its inbound NAT rule."""
        return self.cloud.ssh(self.address, command, 50001 + self.machines.index(name), check=check)

    def answers(self, count: int = 20) -> Counter[str]:
        """Who answers `count` new connections to the page; an empty name is a connection that failed."""
        return Counter(page(self.address, patience=2.0) for _ in range(count))

    def served_by(self, *names: str, seconds: float = PATIENCE) -> None:
        """Wait until exactly these machines answer, and no connection fails."""
        until(f"answers of {names} alone", lambda: set(self.answers()) == set(names), seconds)


def fetch(address: str, path: str = "/", port: int = 80, patience: float = 5.0) -> str:
    """One request on a connection of its own; empty when it failed."""
    try:
        with socket.create_connection((address, port), patience) as connection:
            connection.settimeout(patience)
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
            answer = b""
            while part := connection.recv(4096):
                answer += part
    except OSError:
        return ""
    return answer.decode(errors="replace")


def page(address: str, patience: float = 5.0) -> str:
    """Which machine served the page; empty when none did."""
    found = re.search(r"Hello from (\S+)", fetch(address, patience=patience))
    return found.group(1) if found else ""


@dataclass
class Load:
    """New connections to an address at a steady rate, in the background."""

    address: str
    patience: float = 10.0
    failed: list[float] = field(default_factory=list)
    """When connections that failed began, in seconds since the start."""
    answered: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def _one(self, begun: float) -> None:
        at = time.monotonic() - begun
        if page(self.address, self.patience):
            self.answered += 1
        else:
            self.failed.append(at)

    def _run(self, rate: float) -> None:
        begun = time.monotonic()
        with ThreadPoolExecutor(64) as pool:
            number = 0
            while not self._stop.is_set():
                pool.submit(self._one, begun)
                number += 1
                self._stop.wait(max(0.0, begun + number / rate - time.monotonic()))

    @classmethod
    @contextmanager
    def on(cls, address: str, rate: float = 20.0, patience: float = 10.0) -> Iterator[Load]:
        """Run it inside the block; every connection has ended when the block has."""
        load = cls(address, patience)
        runner = threading.Thread(target=load._run, args=(rate,))
        runner.start()
        try:
            yield load
        finally:
            load._stop.set()
            runner.join()


def number(name: str, default: int) -> int:
    """A switch from the environment that makes a run longer."""
    return int(os.environ.get(name, default))
