"""From nothing to a page: the rack, the example deployment through the ARM endpoint, the page through its public address.

Says what it does while it does it and how long each step took. Must never use anything a customer could not use.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lazur.identity.files import write_atomic
from lazur.kernel.clock import Clock
from lazur.kernel.errors import LazurError
from lazur.lifecycle.arm_client import ArmClient
from lazur.lifecycle.project import ROOT
from lazur.lifecycle.rack import Rack

TEMPLATE = ROOT / "examples" / "load-balanced-web" / "azuredeploy.json"
GROUP, DEPLOYMENT = "quickstart", "load-balanced-web"
_PAGE_SECONDS = 240.0

Report = Callable[[str], None]


@dataclass
class Built:
    """What the quickstart made, for the closing words."""

    url: str = ""
    address: str = ""
    machines: list[str] = field(default_factory=list)
    answered: dict[str, int] = field(default_factory=dict)
    steps: list[tuple[str, float]] = field(default_factory=list)
    key: Path = Path()


class Quickstart:
    """One run over a rack."""

    def __init__(self, rack: Rack, clock: Clock, report: Report) -> None:
        self._rack = rack
        self._clock = clock
        self._report = report
        self.built = Built()

    async def run(self, client: ArmClient) -> Built:
        """Deploy and fetch; raises with the deployment's own error."""
        self.built.key = self._rack.paths.state / "quickstart" / "id_ed25519"
        public = ssh_key(self.built.key)
        await self._timed("deployment", self._deploy(client, public))
        await self._timed("first answers of all machines", self._fetch())
        return self.built

    async def _timed(self, title: str, work: Any) -> None:
        begun = self._clock.monotonic()
        await work
        took = self._clock.monotonic() - begun
        self.built.steps.append((title, took))
        self._report(f"{title}: {took:.1f} s")

    async def _deploy(self, client: ArmClient, public: str) -> None:
        group = f"{client.subscription}/resourceGroups/{GROUP}"
        await client.call("PUT", group, {"location": self._rack.site.region})
        path = f"{group}/providers/Microsoft.Resources/deployments/{DEPLOYMENT}"
        properties = {
            "mode": "Incremental",
            "template": json.loads(TEMPLATE.read_text()),
            "parameters": {"sshPublicKey": {"value": public}},
        }
        headers = await self._submit(client, path, {"properties": properties})
        await self._follow(client, path, headers)
        outputs = (await client.call("GET", path))["properties"]["outputs"]
        self.built.url, self.built.address = outputs["url"]["value"], outputs["address"]["value"]
        self.built.machines = outputs["machines"]["value"]

    async def _submit(self, client: ArmClient, path: str, body: dict[str, Any]) -> Mapping[str, str]:
        """Start the deployment; one that an earlier quickstart left running is waited for first."""
        try:
            return (await client.exchange("PUT", path, body))[0]
        except LazurError as error:
            if error.code != "DeploymentActive":
                raise
        self._report("  an earlier deployment is still running; waiting for it")
        await client.settled(path)
        return (await client.exchange("PUT", path, body))[0]

    async def _follow(self, client: ArmClient, path: str, headers: Mapping[str, str]) -> None:
        """Tell every resource as it is done, until the deployment ends."""
        ended = asyncio.ensure_future(client.wait_for(headers))
        told: set[str] = set()
        while True:
            done = ended.done()
            for operation in (await client.call("GET", f"{path}/operations"))["value"]:
                said = operation["properties"]
                # The evaluation of the outputs is an operation as well, and works on no resource.
                target = said.get("targetResource")
                if target and said["provisioningState"] != "Running" and target["id"] not in told:
                    told.add(target["id"])
                    self._report(f"  {said['provisioningState'].lower():>9}  {target['resourceType']}/{target['resourceName']}")
            if done:
                break
            await self._clock.sleep(0.5)
        await ended

    async def _fetch(self) -> None:
        """Ask the public address until every machine has answered; each request is a connection of its own."""
        deadline = self._clock.monotonic() + _PAGE_SECONDS
        last = ""
        while len(self.built.answered) < len(self.built.machines):
            if self._clock.monotonic() > deadline:
                heard = ", ".join(self.built.answered) or "nobody"
                message = f"{self.built.url} was answered by {heard} only. Last failure: {last or 'none'}."
                raise LazurError("PageNotServed", message, status=504)
            try:
                name = await _ask(self.built.url, self.built.machines)
                self.built.answered[name] = self.built.answered.get(name, 0) + 1
                if self.built.answered[name] == 1:
                    self._report(f"  {name} answered")
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                last = repr(error)
                await self._clock.sleep(0.2)


async def _ask(url: str, machines: list[str]) -> str:
    """Which machine served the page."""
    timeout = aiohttp.ClientTimeout(total=5.0)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url, headers={"Connection": "close"}) as answer:
        text = await answer.text()
        if answer.status != 200:
            raise aiohttp.ClientError(f"status {answer.status}")
    for name in machines:
        if name in text:
            return name
    raise aiohttp.ClientError(f"the page names no machine: {text[:80]!r}")


def ssh_key(path: Path) -> str:
    """The public half of the key in `path`, which is made when it is not there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = Ed25519PrivateKey.generate()
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
        write_atomic(path, fresh.private_bytes(*form), 0o600)
    key = serialization.load_ssh_private_key(path.read_bytes(), None)
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return f"{public.decode()} quickstart"


def summary(built: Built, rack: Rack) -> str:
    """The closing words: what was built, how long it took, where it is, how to go on."""
    steps = "\n".join(f"  {took:6.1f} s  {title}" for title, took in built.steps)
    options = f"-i {built.key} -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no"
    ssh = "\n".join(
        f"  ssh {options} -p {50001 + i} azureuser@{built.address}   # {name}" for i, name in enumerate(built.machines)
    )
    names = rack.site.endpoint_names
    return f"""
A load-balanced web service runs on {len(rack.site.hosts)} hosts of '{rack.site.name}', deployed from
{TEMPLATE.relative_to(ROOT)} through the ARM endpoint.

Time
{steps}

The page
  curl {built.url}
The machines
{ssh}
The endpoints
  ARM      https://{names["management"]}
  sign-in  https://{names["login"]}
Go on with az
  eval "$(./lazur env)"        # a private az configuration, the CA, the credentials
  az login --service-principal -u "$LAZUR_CLIENT_ID" -p "$LAZUR_CLIENT_SECRET" --tenant "$LAZUR_TENANT"
  az vm list -g {GROUP} -d -o table
Look closer        ./lazur status; ./lazur logs control; ./lazur fsck
Take it all away   ./lazur down            (--purge deletes the disks as well)
"""
