"""A second directory of the cloud that clients are tried against, with a subscription: what operators make for customers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.clients.az import Az
from tests.clients.clouds import Cloud

_VERSION = "2022-12-01"


@dataclass(frozen=True)
class Second:
    """Another directory, its administrator, and the subscription that belongs to them."""

    tenant: str
    domain: str
    user: str
    password: str
    subscription: str


@contextmanager
def second_directory(az: Az, cloud: Cloud) -> Iterator[Second]:
    """One that is new; its subscription goes with the block, the directory itself stays: nothing takes one away."""
    domain, password, subscription = f"aztest-{uuid.uuid4().hex[:8]}.example", "Choose-One-7", str(uuid.uuid4())
    graph = az("cloud show --query endpoints.microsoftGraphResourceId")
    founding = {"displayName": "Second", "verifiedDomains": [{"name": domain}], "passwordProfile": {"password": password}}
    ask = "rest --method {method} --url {url} --resource {resource} --body {body}"
    made = az(ask, method="post", url=f"{graph}v1.0/organization", resource=graph, body=json.dumps(founding))
    admin = operator_of(cloud)
    mine = az("rest --url {url} --resource {admin}", url=f"{admin}/subscriptions?api-version={_VERSION}", admin=admin)
    home = mine["value"][0]["id"]
    kept = f"{admin}{home}/providers/Microsoft.Subscriptions.Admin/subscriptions/{subscription}?api-version={_VERSION}"
    body = {"displayName": "Theirs", "tenantId": made["id"], "owner": made["administrator"]}
    az(ask, method="put", url=kept, resource=admin, body=json.dumps(body))
    try:
        yield Second(made["id"], domain, made["administrator"], password, subscription)
    finally:
        az("rest --method delete --url {url} --resource {admin}", url=kept, admin=admin)


def operator_of(cloud: Cloud) -> str:
    """The operator's endpoint: the next port of a simulated cloud, a name of its own of a rack."""
    endpoint = cloud.environment["LAZUR_ENDPOINT"]
    if cloud.world.real:
        return endpoint.replace("//management.", "//adminmanagement.")
    return f"https://localhost:{(urlsplit(endpoint).port or 443) + 1}"
