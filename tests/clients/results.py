"""What clients asked and were answered in a run, kept as `results.json` when `LAZUR_RESULTS=write` asks for it.

docs/conformance.md is made from the file.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from lazur.lifecycle.coverage import Operations, openapi_documents

FILE = Path(__file__).with_name("results.json")
_CLIENTS = (
    (re.compile(r"AZURECLI/([\d.]+)"), "az {}"),
    (re.compile(r"azsdk-python-(?:azure-)?(mgmt-[a-z-]+)/([\d.]+)"), "azure-{} {}"),
)


BEYOND = {
    "AzurePowerShellCredential, AzureDeveloperCliCredential, VisualStudioCodeCredential": (
        "they ask another program for its tokens: Az PowerShell, azd, Visual Studio Code"
    ),
    "a broker (`InteractiveBrowserBrokerCredential`, az on Windows)": "a service of Windows or macOS",
    "Cloud Shell": "a service of Azure's portal",
    "SharedTokenCacheCredential with an AuthenticationRecord": (
        "it cannot be told that the sign-in service is not Microsoft's; InteractiveBrowserCredential with the record is above"
    ),
    "user and password, at an AAD-like authority with a port": "MSAL forgets the port when it asks about the user",
}
"""What clients can do and nobody can try, and why."""


def client_of(agent: str) -> str:
    """The client behind a User-Agent; empty for whoever is none of Azure's."""
    for pattern, name in _CLIENTS:
        if found := pattern.search(agent):
            return name.format(*found.groups())
    return ""


class Results:
    """The results of one run."""

    def __init__(self) -> None:
        self._operations = Operations(openapi_documents())
        self._asked: dict[tuple[str, str, str], set[int]] = defaultdict(set)
        self._flows: dict[tuple[str, str], str] = {}

    def read(self, record: Path) -> None:
        """Take in what a recorded cloud noted."""
        for line in record.read_text().splitlines():
            agent, method, path, version, status = json.loads(line)
            name, client = self._operations.name(method, path), client_of(agent)
            if name and client:
                self._asked[name, version, client].add(status)

    def flow(self, way: str, client: str, ended: str = "signed in") -> None:
        """How that way ended for `client`."""
        self._flows[way, client] = ended

    def merged(self, before: dict[str, Any]) -> dict[str, Any]:
        """`before` with this run's answers in place of earlier ones; what is no operation any more goes."""
        operations = {n: {v: dict(c) for v, c in a.items()} for n, a in before.get("operations", {}).items()}
        operations = {name: versions for name, versions in operations.items() if name in self._operations.names}
        for (name, version, client), found in self._asked.items():
            operations.setdefault(name, {}).setdefault(version, {})[client] = ", ".join(map(str, sorted(found)))
        flows = {way: dict(clients) for way, clients in before.get("flows", {}).items()}
        for (way, client), ended in self._flows.items():
            flows.setdefault(way, {})[client] = ended
        return {"beyond": BEYOND, "flows": flows, "operations": operations}

    def write(self) -> None:
        """Put the merged results into the file."""
        before = json.loads(FILE.read_text()) if FILE.exists() else {}
        FILE.write_text(json.dumps(self.merged(before), indent=1, sort_keys=True) + "\n")
