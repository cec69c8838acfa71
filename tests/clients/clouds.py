"""The clouds the clients are tried against: a simulated one made for the run, and the rack that stands on this machine.

The steps are the same on both. What only real machines and packets can show is asked of the cloud's `World`.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

from lazur.lifecycle.project import ROOT

_PATIENCE = 180.0


class World:
    """What stands behind the API. A simulated cloud has no packets: every question passes unasked."""

    real = False

    def page(self, address: str, names: Sequence[str], port: int = 80) -> None:
        """Every machine of `names`, and no other, answers at `http://address`."""

    def closed(self, address: str, port: int) -> None:
        """Nothing answers there."""

    def shell(self, address: str, key: Path, command: str, wanted: str, port: int = 22) -> None:
        """`command` run over ssh prints something with `wanted` in it."""


class RealWorld(World):
    """Real machines behind real addresses."""

    real = True

    def page(self, address: str, names: Sequence[str], port: int = 80) -> None:
        """See `World`."""
        heard: set[str] = set()

        def all_heard() -> bool:
            with urllib.request.urlopen(f"http://{address}:{port}/", timeout=5) as answer:
                text = answer.read().decode()
            heard.update(n for n in names if n in text)
            assert any(n in text for n in names), f"{address} shows {text[:200]!r}, none of {names}"
            return heard == set(names)

        _eventually(f"{', '.join(names)} answer at {address}", all_heard)

    def closed(self, address: str, port: int) -> None:
        """See `World`."""
        with socket.socket() as tried:
            tried.settimeout(3)
            assert tried.connect_ex((address, port)) != 0, f"{address}:{port} is open"

    def shell(self, address: str, key: Path, command: str, wanted: str, port: int = 22) -> None:
        """See `World`."""
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "ConnectTimeout=5"]
        ssh = ["ssh", "-i", str(key), "-p", str(port), *(f"-o{o}" for o in options), f"azureuser@{address}", command]

        def answered() -> bool:
            run = subprocess.run(ssh, capture_output=True, text=True, check=False, timeout=60)
            # 255 is ssh's own failure; what a guest does after its start may take a moment longer than ssh.
            if run.returncode == 255 or wanted not in run.stdout:
                raise OSError(f"printed {run.stdout!r} {run.stderr[-300:]!r}")
            return True

        _eventually(f"{command!r} over ssh to {address}:{port} says {wanted!r}", answered)


def _eventually(what: str, condition: Callable[[], bool]) -> None:
    deadline, last = time.monotonic() + _PATIENCE, ""
    while True:
        try:
            if condition():
                return
        except (OSError, urllib.error.URLError, subprocess.TimeoutExpired) as error:
            last = repr(error)
        assert time.monotonic() < deadline, f"not within {_PATIENCE:g} s: {what}. {last}"
        time.sleep(0.5)


class Issuer:
    """Who signs the tokens of programs outside the cloud: a pipeline, a cluster of containers."""

    url = "https://issuer.example"
    audience = "api://AzureADTokenExchange"

    def __init__(self) -> None:
        self._key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})

    def pages(self) -> dict[str, Any]:
        """Its documents by address."""
        keys = f"{self.url}/keys"
        about = {"issuer": self.url, "jwks_uri": keys}
        return {f"{self.url}/.well-known/openid-configuration": about, keys: {"keys": [self._key.as_dict(private=False)]}}

    def token(self, subject: str) -> str:
        """A token of `subject`, good for an hour."""
        now = int(time.time())
        claims = {"iss": self.url, "sub": subject, "aud": self.audience, "iat": now, "exp": now + 3600}
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims, self._key)


@dataclass(frozen=True)
class Cloud:
    """A running cloud: what `lazur env` says of it, and what stands behind it."""

    environment: Mapping[str, str]
    world: World
    record: Path | None = None
    """Where a simulated cloud notes what it was asked."""
    issuer: Issuer | None = None
    """On a simulated cloud's web."""
    guests: str | None = None
    """Where a simulated cloud serves what its machines would ask their hosts for; see `tests.clients.guests`."""

    @property
    def ported(self) -> bool:
        """Whether sign-in is at a port that clients forget."""
        return urlsplit(self.environment["AZURE_AUTHORITY_HOST"]).port is not None


def obstacle(kind: str) -> str:
    """Why clients cannot be tried against this kind of cloud here; empty when they can."""
    if kind == "rack" and os.environ.get("LAZUR_RACK") != "1":
        return "no rack to try clients against: bring one up and set LAZUR_RACK=1"
    if kind == "rack" and shutil.which("ssh") is None:
        return "trying machines of a rack needs ssh"
    return ""


@contextmanager
def running(kind: str, scratch: Path, *, as_a_rack: bool = False) -> Iterator[Cloud]:
    """The cloud of that kind; a simulated one ends with the block, a rack stays. With `as_a_rack` a simulated one listens on
    443, where it is AAD-like, if it can."""
    if kind == "rack":
        yield Cloud(_environment([], {}), RealWorld())
        return
    variables = {"LAZUR_STATE": str(scratch)}
    port = 443 if as_a_rack and _free(443) else _free_pair()
    log, record, web = (scratch / name for name in ("cloud.log", "requests.jsonl", "web.json"))
    issuer = Issuer()
    web.write_text(json.dumps(issuer.pages()))
    command = [sys.executable, "-m", "tests.clients.recorded_cloud", str(port), str(record), str(web)]
    with log.open("w") as output:
        process = subprocess.Popen(command, env=_inherited(variables), cwd=ROOT, stdout=output, stderr=output)
    try:
        _wait_for(port, process, log)
        guests = record.with_name("guests").read_text()
        yield Cloud(_environment(["--simulated"], variables), World(), record, issuer, guests)
    finally:
        process.terminate()
        process.wait(30)


def _free_pair() -> int:
    """A port that nobody has, nor the one after it, where the operator is served. Below those that connections get."""
    found = next((port for port in range(20_000 + os.getpid() % 5_000 * 2, 32_000, 2) if _free(port)), 0)
    assert found, "no two neighbouring ports are free"
    return found


def _free(port: int) -> bool:
    try:
        for wanted in (port, port + 1):
            with socket.socket() as tried:
                # As the server itself does: connections that linger after the last cloud do not count.
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tried.bind(("127.0.0.1", wanted))
    except OSError:
        return False
    return True


def _inherited(variables: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), **variables}


def _environment(arguments: Sequence[str], variables: Mapping[str, str]) -> dict[str, str]:
    command = [sys.executable, "-m", "lazur.cli", "env", "--format", "json", *arguments]
    run = subprocess.run(command, env=_inherited(variables), cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(run.stdout)
    return found


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, f"the simulated cloud ended: {log.read_text()[-3000:]}"
        assert time.monotonic() < deadline, f"the simulated cloud does not listen: {log.read_text()[-3000:]}"
        time.sleep(0.1)
