"""The body of an `exportTemplate` request. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lazur.kernel.errors import LazurError, all_at_once
from lazur.providers.resources.template.values import get

DEFAULTS = "IncludeParameterDefaultValue"
COMMENTS = "IncludeComments"
PLAIN_NAMES = "SkipResourceNameParameterization"
PLAIN = "SkipAllParameterization"
_OPTIONS = {option.lower(): option for option in (DEFAULTS, COMMENTS, PLAIN_NAMES, PLAIN)}


@dataclass(frozen=True)
class Asked:
    """What is to be exported."""

    ids: frozenset[str] | None
    """Keys of resources, or None for all of the group."""
    options: frozenset[str]

    def wants(self, id: str) -> bool:
        """Whether a resource is among them."""
        return self.ids is None or id.lower() in self.ids


def asked(body: Any) -> Asked:
    """What a request asks for; all its faults at once."""
    if not isinstance(body, Mapping):
        raise LazurError("InvalidRequestContent", "The request content must be an object with 'resources'.")
    faults = []
    resources = get(body, "resources")
    ids: list[str] = []
    if not isinstance(resources, list) or not resources or not all(isinstance(id, str) and id for id in resources):
        message = "The property 'resources' must be an array of resource ids, or of '*' for all."
        faults.append(LazurError("InvalidRequestContent", message, target="resources"))
    else:
        ids = [id.rstrip("/").lower() for id in resources]
    given = get(body, "options") or ""
    names = [name.strip() for name in given.split(",") if name.strip()] if isinstance(given, str) else [str(given)]
    for name in names:
        if name.lower() not in _OPTIONS and name.lower() != "none":
            message = f"The option '{name[:100]}' is not known; there are {', '.join(_OPTIONS.values())}."
            faults.append(LazurError("InvalidRequestContent", message, target="options"))
    form = get(body, "outputFormat")
    if form is not None and str(form).lower() != "json":
        message = f"The output format '{str(form)[:50]}' is not offered; templates are exported as 'Json'."
        faults.append(LazurError("NotSupported", message, target="outputFormat"))
    if faults:
        raise all_at_once(faults)
    options = frozenset(_OPTIONS[name.lower()] for name in names if name.lower() in _OPTIONS)
    return Asked(None if "*" in ids else frozenset(ids), options)
