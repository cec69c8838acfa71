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
from lazur.providers.resources.deployments.resource import Placed
from lazur.providers.resources.linked import Link, linked_parameters, linked_template, template_link


async def resolved(id: ArmId, body: Any, front: Pipeline) -> Any:
    """The request with templates and parameters in place of links; as it is when it has none, or is no request at all."""
    key, properties = _member(body, "properties")
    if not isinstance(properties, dict):
        return body
    found, parent = dict(properties), _parent(id, properties, front)
    link_key, link = _member(properties, "templateLink")
    if link is not None:
        loaded = await linked_template(template_link(link, parent), front.fetch)
        found.pop(_member(properties, "template")[0], None)
        found[link_key] = _kept(loaded.link)
        found["template"] = Placed(loaded.template, loaded.locate)
    from_key, source = _member(properties, "parametersLink")
    if source is not None:
        values = await linked_parameters(source, front.fetch)
        given_key, given = _member(properties, "parameters")
        found[given_key or "parameters"] = {**values, **(given if isinstance(given, dict) else {})}
        found[from_key] = {"uri": str(source["uri"]).partition("?")[0]}
    return {**body, key: found}


def _member(holder: Any, name: str) -> tuple[str, Any]:
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
    nested = _member(properties, "nested")[1]
    if nested is None:
        return None
    try:
        link = json.loads(front.unseal(nested["sealed"], f"{id.key}#nested"))["link"]
    except Exception as error:
        # Whatever is wrong with it: the cloud did not write it.
        message = "The property 'nested' is the cloud's own and cannot be set."
        raise LazurError("InvalidRequestContent", message, target="properties.nested") from error
    return Link(link["uri"], link.get("query", "")) if link else None
