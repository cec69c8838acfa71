"""Whether a public name is free. Must never promise it: it is had by whoever's address is committed first."""

from __future__ import annotations

import re
from typing import Any

from lazur.api.message import Request
from lazur.api.pipeline import Pipeline
from lazur.kernel.errors import LazurError
from lazur.providers.network.public_ip_addresses.resource import LABEL, LABELS


def check_name(pipeline: Pipeline, request: Request) -> dict[str, Any]:
    """`locations/{l}/CheckDnsNameAvailability?domainNameLabel={label}`."""
    label = request.query.get("domainnamelabel", "")
    if not re.fullmatch(LABEL, label):
        message = f"The domain name label '{label}' is invalid. It must conform to the following regular expression: {LABEL}."
        raise LazurError("InvalidDomainNameLabel", message, target="domainNameLabel")
    return {"available": pipeline.store.holder(LABELS, label) is None}
