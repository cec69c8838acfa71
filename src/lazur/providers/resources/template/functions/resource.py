"""Ids of resources and questions about live ones: extensionResourceId, list*, managementGroupResourceId, pickZones,
providers, reference, references, resourceId, resourceInfo, subscriptionResourceId, tenantResourceId, toLogicalZone(s),
toPhysicalZone(s).

`reference` and the list functions are answered by the frame's `Lookup` and refused where there is none.
"""

from __future__ import annotations

import re
from typing import Any

from lazur.providers.resources.template.frame import Frame, Phase
from lazur.providers.resources.template.functions.registry import array, fault, function, text, whole
from lazur.providers.resources.template.names import absolute, resource_id, type_and_names
from lazur.providers.resources.template.parser import Node
from lazur.providers.resources.template.scope import RESOURCE_GROUP
from lazur.providers.resources.template.values import get

_GUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


def _texts(name: str, args: list[Any]) -> list[str]:
    return [text(name, arg, i + 1) for i, arg in enumerate(args)]


def _too_many(name: str, before: list[str], most: int) -> None:
    if len(before) > most:
        raise fault(name, f"at most {most} argument(s) may precede the resource type, not {len(before)}")


@function("resourceId", 2, None)
def in_group(frame: Frame, args: list[Any]) -> Any:
    """`resourceId([subscriptionId], [resourceGroupName], type, name...)`, in the scope of the deployment by default."""
    before, kind, names = type_and_names("resourceId", _texts("resourceId", args))
    _too_many("resourceId", before, 2)
    scope = frame.scope.context.scope
    subscription, group = scope.subscription_id, scope.group_name if scope.kind == RESOURCE_GROUP else ""
    if len(before) == 2:
        subscription, group = before
    elif before and _GUID.fullmatch(before[0]):
        subscription = before[0]
    elif before:
        group = before[0]
    if not subscription:
        return resource_id(scope.id, kind, names)
    base = f"/subscriptions/{subscription}"
    return resource_id(f"{base}/resourceGroups/{group}" if group else base, kind, names)


@function("subscriptionResourceId", 2, None)
def in_subscription(frame: Frame, args: list[Any]) -> Any:
    """`subscriptionResourceId([subscriptionId], type, name...)`."""
    before, kind, names = type_and_names("subscriptionResourceId", _texts("subscriptionResourceId", args))
    _too_many("subscriptionResourceId", before, 1)
    subscription = before[0] if before else frame.scope.context.scope.subscription_id
    if not subscription:
        raise fault("subscriptionResourceId", "the deployment has no subscription: name one as the first argument")
    return resource_id(f"/subscriptions/{subscription}", kind, names)


@function("tenantResourceId", 2, None)
def in_tenant(frame: Frame, args: list[Any]) -> Any:
    """`tenantResourceId(type, name...)`."""
    before, kind, names = type_and_names("tenantResourceId", _texts("tenantResourceId", args))
    _too_many("tenantResourceId", before, 0)
    return resource_id("", kind, names)


@function("managementGroupResourceId", 2, None)
def in_management_group(frame: Frame, args: list[Any]) -> Any:
    """`managementGroupResourceId([managementGroup], type, name...)`."""
    before, kind, names = type_and_names("managementGroupResourceId", _texts("managementGroupResourceId", args))
    _too_many("managementGroupResourceId", before, 1)
    group = before[0] if before else str((frame.scope.context.scope.management_group or {}).get("name", ""))
    if not group:
        raise fault("managementGroupResourceId", "the deployment has no management group: name one as first argument")
    return resource_id(f"/providers/Microsoft.Management/managementGroups/{group}", kind, names)


@function("extensionResourceId", 3, None)
def on_resource(frame: Frame, args: list[Any]) -> Any:
    """`extensionResourceId(id, type, name...)`: an extension of the resource with that id."""
    given = _texts("extensionResourceId", args)
    before, kind, names = type_and_names("extensionResourceId", given[1:])
    _too_many("extensionResourceId", before, 0)
    return resource_id(absolute(frame.scope.context.scope.id, given[0]), kind, names)


def located(function_name: str, name: str, frame: Frame) -> tuple[str, str | None]:
    """Id and api-version (None when the template does not say) of the resource a name, symbol or id means."""
    resources = frame.scope.resources
    found = resources.locate(name) if resources is not None else None
    if found is not None:
        return found
    if "/" in name.strip("/"):
        return absolute(frame.scope.context.scope.id, name), None
    raise fault(
        function_name,
        f"the resource '{name}' is not defined in the template. "
        "Please see https://aka.ms/arm-syntax-resources for usage details",
    )


def _full(name: str, value: Any) -> bool:
    if value is None or (isinstance(value, str) and value.lower() in ("", "properties")):
        return False
    if isinstance(value, str) and value.lower() == "full":
        return True
    raise fault(name, "the last argument can only be 'Full'")


@function("reference", 1, 3)
def reference(frame: Frame, args: list[Any]) -> Any:
    """`reference(nameOrId, [apiVersion], ['Full'])`: the live properties, or the whole live resource."""
    frame.only("reference", Phase.RUNTIME)
    id, declared = located("reference", text("reference", args[0]), frame)
    asked = text("reference", args[1], 2) if len(args) > 1 else ""
    full = _full("reference", args[2]) if len(args) > 2 else False
    if frame.lookup is None:
        raise fault("reference", "no resource can be looked up here")
    return frame.lookup.reference(id, asked or declared, full)


@function("references", 1, 2)
def references(frame: Frame, args: list[Any]) -> Any:
    """The live properties (or, with 'Full', resources) of all copies of a symbolic resource."""
    frame.only("references", Phase.RUNTIME)
    symbol = text("references", args[0])
    full = _full("references", args[1]) if len(args) > 1 else False
    members = frame.scope.resources.members(symbol) if frame.scope.resources is not None else None
    if members is None or frame.lookup is None:
        raise fault("references", f"'{symbol}' is no symbolic name of a resource with a copy loop")
    return [frame.lookup.reference(id, version, full) for id, version in members]


@function("resourceInfo", 1)
def resource_info(frame: Frame, args: list[Any]) -> Any:
    """Id, name, type and apiVersion of a symbolic resource, known before deployment."""
    symbol = text("resourceInfo", args[0])
    about = frame.scope.resources.about(symbol) if frame.scope.resources is not None else None
    if about is None:
        raise fault("resourceInfo", f"'{symbol}' is no symbolic name of a resource")
    return about


@function("list*", 1, 3, lazy=True)
def list_action(frame: Frame, args: list[Any]) -> Any:
    """`listKeys(nameOrId, [apiVersion], [body])` and every other function whose name begins with `list`."""
    shown: str = args[0]
    nodes: list[Node] = args[1:]
    frame.only(shown, Phase.RUNTIME)
    values = [frame.engine.node(node, frame) for node in nodes]
    id, declared = located(shown, text(shown, values[0]), frame)
    asked = text(shown, values[1], 2) if len(values) > 1 else ""
    if frame.lookup is None:
        raise fault(shown, "no resource can be looked up here")
    body = values[2] if len(values) > 2 else None
    frame.budget.weigh(body)
    return frame.lookup.list(shown, id, asked or declared, body)


@function("providers", 1, 2)
def providers(frame: Frame, args: list[Any]) -> Any:
    """What is known of a namespace, or of one of its types."""
    namespace, kind = text("providers", args[0]), text("providers", args[1], 2) if len(args) > 1 else None
    found = frame.scope.context.providers(namespace, kind)
    if not found:
        raise fault("providers", f"this cloud has no '{namespace if kind is None else f'{namespace}/{kind}'}'")
    return found


@function("pickZones", 3, 5)
def pick_zones(frame: Frame, args: list[Any]) -> Any:
    """`count` zones (1 by default) behind an offset that a type has in a location; none where it has no zones."""
    namespace, kind, location = _texts("pickZones", args[:3])
    count = whole("pickZones", args[3], 4) if len(args) > 3 else 1
    offset = whole("pickZones", args[4], 5) if len(args) > 4 else 0
    if not 1 <= count <= 3 or not 0 <= offset <= 2:
        raise fault("pickZones", "the number of zones must be 1 to 3 and the offset 0 to 2")
    wanted = location.replace(" ", "").lower()
    for mapping in get(frame.scope.context.providers(namespace, kind), "zoneMappings") or []:
        if str(get(mapping, "location", "")).replace(" ", "").lower() == wanted:
            zones = sorted(map(str, get(mapping, "zones") or []))
            if not zones:
                return []
            if offset + count > len(zones):
                raise fault("pickZones", f"'{location}' has {len(zones)} zone(s) for '{namespace}/{kind}'")
            return zones[offset : offset + count]
    return []


def _zone(name: str) -> None:
    @function(name, 3)
    def same_zone(frame: Frame, args: list[Any]) -> Any:
        """Logical and physical zones have the same numbers in this cloud; physical ones begin with the location."""
        location, zone = text(name, args[1], 2), text(name, args[2], 3)
        prefix = f"{location}-az"
        return f"{prefix}{zone}" if name == "toPhysicalZone" else zone.removeprefix(prefix)


def _zones(name: str) -> None:
    @function(name, 3)
    def same_zones(frame: Frame, args: list[Any]) -> Any:
        """The plural of `_zone`."""
        location = text(name, args[1], 2)
        prefix = f"{location}-az"
        zones = [text(name, zone, 3) for zone in array(name, args[2], 3)]
        return [f"{prefix}{z}" if name == "toPhysicalZones" else z.removeprefix(prefix) for z in zones]


_zone("toLogicalZone")
_zone("toPhysicalZone")
_zones("toLogicalZones")
_zones("toPhysicalZones")
