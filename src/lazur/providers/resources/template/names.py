"""Ids, types and names of resources as templates write them.

Builds ids from a scope, a type and names, and reads the forms `dependsOn` and `reference` use: full ids, ids relative to
the scope, bare names. Comparison is always without case; spelling is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from lazur.providers.resources.template.faults import ExpressionFault

_GROUPS = "microsoft.resources/resourcegroups"
_SUBSCRIPTIONS = "microsoft.resources/subscriptions"


def type_and_names(function: str, args: Sequence[str]) -> tuple[list[str], str, list[str]]:
    """Arguments of a resourceId function split into what precedes the type, the type, and the names."""
    at = next((i for i, arg in enumerate(args) if "/" in arg.strip("/")), None)
    if at is None:
        raise ExpressionFault(
            f"Unable to evaluate template language function '{function}': function requires fully qualified resource "
            "type 'resourceType' as one of the first arguments. "
            "Please see https://aka.ms/arm-resource-functions/#resourceid for usage details"
        )
    kind = args[at].strip("/")
    names = list(args[at + 1 :])
    needed = len(kind.split("/")) - 1
    if len(names) != needed:
        raise ExpressionFault(
            f"Unable to evaluate template language function '{function}': the type '{kind}' requires '{needed}' "
            "resource name argument(s). "
            "Please see https://aka.ms/arm-resource-functions/#resourceid for usage details"
        )
    return list(args[:at]), kind, names


def resource_id(scope_id: str, kind: str, names: Sequence[str]) -> str:
    """The id of a resource of type `kind` beneath a scope; resource groups and subscriptions have ids of their own."""
    if kind.lower() == _GROUPS and scope_id.lower().startswith("/subscriptions/"):
        return f"/{'/'.join(scope_id.split('/')[1:3])}/resourceGroups/{names[0]}"
    if kind.lower() == _SUBSCRIPTIONS:
        return f"/subscriptions/{names[0]}"
    segments = kind.split("/")
    out = [scope_id.rstrip("/"), "providers", segments[0]]
    for segment, name in zip(segments[1:], names, strict=False):
        out += [segment, name]
    return "/".join(out)


def relative(kind: str, names: Sequence[str]) -> str:
    """`Microsoft.Network/virtualNetworks/v/subnets/s` of a type and its names."""
    segments = kind.split("/")
    out = [segments[0]]
    for segment, name in zip(segments[1:], names, strict=False):
        out += [segment, name]
    return "/".join(out)


def absolute(scope_id: str, reference: str) -> str:
    """A full id for an id that may be relative to a scope."""
    if reference.startswith("/"):
        return reference.rstrip("/")
    return f"{scope_id}/providers/{reference.strip('/')}"


def same_scope(one: str, other: str) -> bool:
    """Whether two ids are the same but for case and a trailing slash."""
    return one.rstrip("/").lower() == other.rstrip("/").lower()
