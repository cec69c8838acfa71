"""Runs in an environment that has Azure's SDKs of today, as a program inside a machine would: who it is, and what it sees.

Must never import this package.
"""

from __future__ import annotations

import json
import os
import sys

from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.identity import ManagedIdentityCredential
from azure.mgmt.compute import ComputeManagementClient

ENDPOINT, SUBSCRIPTION = os.environ["LAZUR_ENDPOINT"], os.environ["LAZUR_SUBSCRIPTION"]


def main() -> None:
    """Group and machine, then the client id if it is to be one of several."""
    group, name, *client = sys.argv[1:]
    credential = ManagedIdentityCredential(client_id=client[0]) if client else ManagedIdentityCredential()
    compute = ComputeManagementClient(credential, SUBSCRIPTION, base_url=ENDPOINT, credential_scopes=[f"{ENDPOINT}/.default"])
    try:
        print(json.dumps({"machine": compute.virtual_machines.get(group, name).name}))
    except HttpResponseError as error:
        kind = "sign-in" if isinstance(error, ClientAuthenticationError) and error.status_code is None else error.status_code
        print(json.dumps({"refused": kind, "words": str(error)[:500]}))


if __name__ == "__main__":
    main()
