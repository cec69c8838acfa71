"""The instance metadata service at 169.254.169.254, as Azure documents it and cloud-init and the Linux agent use it.

The same document is served under every api-version that is known, with all its fields. Must never answer a request that
lacks `Metadata: true` or came through a proxy: those two rules keep a tricked web application from reading metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import ip_address, ip_interface
from typing import Any

from lazur.guestservices.httpd import JSON, TEXT, Request, Response
from lazur.guestservices.ledger import Machine, Nic
from lazur.guestservices.tokens import Tokens, refusal

API_VERSIONS = (
    "2017-03-01", "2017-04-02", "2017-08-01", "2017-10-01", "2017-12-01", "2018-02-01", "2018-04-02", "2018-10-01",
    "2019-02-01", "2019-03-11", "2019-04-30", "2019-06-01", "2019-06-04", "2019-08-01", "2019-08-15", "2019-11-01",
    "2020-06-01", "2020-07-15", "2020-09-01", "2020-10-01", "2020-12-01", "2021-01-01", "2021-02-01", "2021-03-01",
    "2021-05-01", "2021-08-01", "2021-10-01", "2021-11-01", "2021-11-15", "2021-12-13", "2022-08-01", "2022-09-01",
    "2023-07-01", "2023-11-15",
)  # fmt: skip
"""Versions `/metadata/versions` names."""

_MORE = "For more information refer to aka.ms/azureimds"
_EMPTY = (
    "additionalCapabilities", "customData", "evictionPolicy", "licenseType", "location", "offer", "placementGroupId",
    "priority", "publisher", "resourceGroupName", "resourceId", "sku", "subscriptionId", "tags", "version",
    "virtualMachineScaleSet", "vmScaleSetName", "vmSize", "zone",
)  # fmt: skip


async def answer(tokens: Tokens, machine: Machine, request: Request) -> Response:
    """One request of one guest."""
    segments = [segment for segment in request.path.split("/") if segment]
    asks_who_it_is = segments[:2] == ["metadata", "identity"]
    if "x-forwarded-for" in request.headers:
        return _form_fault(asks_who_it_is, "Requests with an X-Forwarded-For header are not served")
    if request.headers.get("metadata", "").lower() != "true":
        return _form_fault(asks_who_it_is, "Required metadata header not specified")
    if segments[:1] != ["metadata"] or len(segments) < 2:
        return _error(404, "Not found")
    if request.method != "GET":
        return _error(405, "Method not allowed", {"Allow": "GET"})
    if segments[1:] == ["versions"]:
        return _json({"apiVersions": list(API_VERSIONS)})
    if segments[1] != "instance" and segments[1:] not in (["identity", "oauth2", "token"], ["identity", "info"]):
        return _error(404, "Not found")
    if (fault := _version_fault(request)) is not None:
        return fault
    if asks_who_it_is:
        return await tokens.answer(machine, segments[2:], request)
    return _instance(machine, segments[2:], request)


def document(machine: Machine, extended: bool) -> dict[str, Any]:
    """The metadata of a guest: its `compute` section as the cloud wrote it, completed by what this host knows."""
    whole: dict[str, Any] = {"compute": _compute(machine)}
    if extended:
        custom = machine.provisioning is not None and machine.provisioning.has_custom_data
        whole["extended"] = {"compute": {"hasCustomData": custom, "ppsType": None}}
    whole["network"] = {"interface": [_interface(nic) for nic in machine.nics]}
    return whole


def _compute(machine: Machine) -> dict[str, Any]:
    compute: dict[str, Any] = dict.fromkeys(_EMPTY, "")
    compute |= {
        "azEnvironment": "AzureStack",
        "isHostCompatibilityLayerVm": "false",
        "name": machine.name,
        "osType": "Linux",
        "platformFaultDomain": "0",
        "platformUpdateDomain": "0",
        "provider": "Microsoft.Compute",
        "publicKeys": [],
        "tagsList": [],
        "vmId": machine.vm_id,
    }
    if machine.provisioning is not None:
        compute["publicKeys"] = [{"keyData": key, "path": path} for path, key in machine.provisioning.ssh_keys]
        compute["osProfile"] = {
            "adminUsername": machine.provisioning.user_name,
            "computerName": machine.computer_name,
            "disablePasswordAuthentication": str(not machine.provisioning.password_authentication).lower(),
        }
    compute |= machine.compute
    # Only a list that is missing makes cloud-init look for keys elsewhere.
    if not compute["publicKeys"]:
        del compute["publicKeys"]
    return compute


def _interface(nic: Nic) -> dict[str, Any]:
    v4 = [a for a in nic.addresses if ip_address(a).version == 4]
    v6 = [a for a in nic.addresses if ip_address(a).version == 6]
    networks = [ip_interface(f"{address}/{nic.prefix_length}").network for address in v4[:1]]
    subnet = [{"address": str(n.network_address), "prefix": str(n.prefixlen)} for n in networks]
    return {
        "ipv4": {"ipAddress": [{"privateIpAddress": a, "publicIpAddress": ""} for a in v4], "subnet": subnet},
        "ipv6": {"ipAddress": [{"privateIpAddress": a} for a in v6]},
        "macAddress": nic.mac.replace(":", "").replace("-", "").upper(),
    }


def _instance(machine: Machine, path: list[str], request: Request) -> Response:
    form = request.query.get("format", "json").lower()
    if form not in ("json", "text"):
        return _error(400, f"Bad request. Format is json or text. {_MORE}")
    node: Any = document(machine, request.query.get("extended", "").lower() == "true")
    for step in path:
        found, node = _child(node, step)
        if not found:
            return _error(404, "Not found")
    if form == "text":
        return Response(200, _text(node).encode(), TEXT)
    if isinstance(node, dict | list):
        return _json(node)
    return _error(400, f"Bad request. A single value has no JSON form; ask for it with format=text. {_MORE}")


def _child(node: Any, step: str) -> tuple[bool, Any]:
    """Whether a node has that child, and the child; names compare without case, as the rest of Azure's paths."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            if name.lower() == step.lower():
                return True, value
    # The bound on the length keeps an endless number from being read.
    if isinstance(node, list) and step.isascii() and step.isdigit() and len(step) < 5 and int(step) < len(node):
        return True, node[int(step)]
    return False, None


def _text(node: Any) -> str:
    if isinstance(node, Mapping):
        return "\n".join(f"{name}/" if isinstance(value, dict | list) else name for name, value in sorted(node.items()))
    if isinstance(node, list):
        return "\n".join(f"{at}/" for at in range(len(node)))
    if isinstance(node, bool):
        return str(node).lower()
    return "" if node is None else str(node)


def _form_fault(asks_who_it_is: bool, words: str) -> Response:
    """A request that may come of a tricked program; the identity endpoints say it in their own form."""
    return refusal(400, "invalid_request", words) if asks_who_it_is else _error(400, f"Bad request. {words}")


def _version_fault(request: Request) -> Response | None:
    version = request.query.get("api-version")
    if version in API_VERSIONS:
        return None
    words = "not specified in the request" if not version else "invalid"
    newest = list(reversed(API_VERSIONS[-3:]))
    return _json({"error": f"Bad request. api-version was {words}. {_MORE}", "newest-versions": newest}, 400)


def _json(body: Any, status: int = 200) -> Response:
    return Response(status, json.dumps(body).encode(), JSON)


def _error(status: int, words: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(status, json.dumps({"error": words}).encode(), JSON, headers or {})
