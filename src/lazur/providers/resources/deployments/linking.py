"""Puts what a deployment's links name in their place, before the deployment is accepted: a run never fetches.

A query of a link may open a storage account: it is kept apart, where secrets are. Must never ask a server itself: the
front door's guarded fetch does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lazur.api.pipeline import Pipeline
from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.providers.resources.deployments.resource import Deployment, Placed
from lazur.providers.resources.linked import Link, linked_parameters, linked_template, template_link
from lazur.providers.resources.template import Context, NestedDeployment

MAX_LINKS = 50
"""Templates that a preview fetches."""


class Links:
    """The templates that the nested deployments of one preview link to: fetched between two looks at it, each once."""

    def __init__(self, front: Pipeline) -> None:
        self._front = front
        self._of: dict[str, Link] = {}
        """The link that the template of a deployment came from, by the deployment's id."""
        self._known: dict[str, Mapping[str, Any] | LazurError] = {}
        self._wanted: dict[str, Link] = {}

    def top(self, id: ArmId, properties: Mapping[str, Any]) -> None:
        """Note where the template of the previewed deployment itself came from."""
        if (link := member(properties, "templateLink")[1]) is not None:
            self._of[str(id).lower()] = Link(link["uri"], link.get("queryString", ""))

    def template(self, nested: NestedDeployment, around: Context) -> Mapping[str, Any] | None:
        """What `nested` links to; None as long as it is not fetched. Raises what is wrong with the link."""
        if any(isinstance(v, str) and v.startswith("[") for v in (nested.template_link or {}).values()):
            # Only the deployment itself will know it.
            return None
        id = f"{nested.scope_id}/providers/{Deployment.type}/{nested.name}"
        try:
            link = template_link(nested.template_link, self._of.get(around.deployment_id.lower()))
        except LazurError as error:
            raise LazurError(error.code, error.message, target=id) from None
        self._of[id.lower()] = link
        found = self._known.get(link.url)
        if isinstance(found, LazurError):
            raise LazurError(found.code, found.message, target=id)
        if found is None and len(self._known) + len(self._wanted) < MAX_LINKS:
            self._wanted[link.url] = link
        return found

    async def fetched(self) -> bool:
        """Fetch what was asked for in vain; whether there was any."""
        wanted, self._wanted = self._wanted, {}
        for url, link in wanted.items():
            try:
                self._known[url] = (await linked_template(link, self._front.fetch)).template
            except LazurError as error:
                self._known[url] = error
        return bool(wanted)


async def resolved(id: ArmId, body: Any, front: Pipeline) -> Any:
    """The request with templates and parameters in place of links; as it is when it has none, or is no request at all."""
    key, properties = member(body, "properties")
    if not isinstance(properties, dict):
        return body
    found, parent = dict(properties), _parent(id, properties, front)
    link_key, link = member(properties, "templateLink")
    if link is not None:
        loaded = await linked_template(template_link(link, parent), front.fetch)
        found.pop(member(properties, "template")[0], None)
        found[link_key] = _kept(loaded.link)
        found["template"] = Placed(loaded.template, loaded.locate)
    from_key, source = member(properties, "parametersLink")
    if source is not None:
        values = await linked_parameters(source, front.fetch)
        given_key, given = member(properties, "parameters")
        found[given_key or "parameters"] = {**values, **(given if isinstance(given, dict) else {})}
        found[from_key] = {"uri": str(source["uri"]).partition("?")[0]}
    return {**body, key: found}


def member(holder: Any, name: str) -> tuple[str, Any]:
    """A property however it is spelled, and its spelling; ("", None) when it is not there."""
    for key, value in holder.items() if isinstance(holder, Mapping) else ():
        if key.lower() == name.lower():
            return key, value
    return "", None


def _kept(link: Link) -> dict[str, str]:
    """What is stored of a link; the query string goes where secrets go."""
    out = {"uri": link.uri}
    if link.content_version is not None:
        out["contentVersion"] = link.content_version
    if link.query:
        out["queryString"] = link.query
    return out


def _parent(id: ArmId, properties: Mapping[str, Any], front: Pipeline) -> Link | None:
    """The link of the deployment around this one, for relative paths. Only the cloud itself can say which that is."""
    nested = member(properties, "nested")[1]
    if nested is None:
        return None
    try:
        link = json.loads(front.unseal(nested["sealed"], f"{id.key}#nested"))["link"]
    except Exception as error:
        # Whatever is wrong with it: the cloud did not write it.
        message = "The property 'nested' is the cloud's own and cannot be set."
        raise LazurError("InvalidRequestContent", message, target="properties.nested") from error
    return Link(link["uri"], link.get("query", "")) if link else None
