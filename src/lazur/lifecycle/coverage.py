"""What works today, as Markdown, from the registry: the table in README.md is made here and never by hand.

Pure but for finding the providers. Must never say anything the declarations do not say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import lazur.providers
from lazur.api.openapi import documents
from lazur.kernel.errors import LazurError
from lazur.model.registry import AnyResource, Provider, Registry

BEGIN = "<!-- made by `./lazur docs`: begin -->"
END = "<!-- made by `./lazur docs`: end -->"
_PARAMETER = re.compile(r"\(\?P<(\w+)>[^)]*\)")


def table(registry: Registry) -> str:
    """Every resource type with its children, actions and answers, then the deepest of the read-only lists."""
    lines = [
        "| Resource type | Children with routes of their own | Actions and views | Created, updated, deleted |",
        "|---|---|---|---|",
    ]
    lines += [_row(declared) for declared in registry.types()]
    lists = sorted(_lists(registry.providers.values()))
    # A list further up is part of the address of the one below it.
    deepest = [path for path in lists if not any(other.startswith(f"{path}/") for other in lists)]
    return "\n".join([*lines, "", f"Read-only lists, with every level above: {', '.join(f'`{path}`' for path in deepest)}."])


def inserted(text: str, content: str) -> str:
    """`text` with what is between the two markers replaced by `content`; raises when there are no markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise LazurError("MarkersMissing", f"The text lacks the lines '{BEGIN}' and '{END}'.")
    return f"{before}{BEGIN}\n{content}\n{END}{after}"


def what_works() -> str:
    """The table of all providers of this clone."""
    return table(Registry.discover(lazur.providers))


def openapi_documents() -> dict[str, dict[str, Any]]:
    """The OpenAPI document of every provider of this clone, by namespace."""
    return documents(Registry.discover(lazur.providers))


def _row(declared: AnyResource) -> str:
    children = ", ".join(child.type for child in declared.embedded)
    posts = [f"`{action.name}`" for action in declared.actions]
    views = [f"`{view.name}` (GET)" for view in declared.views]
    answers = declared.answers
    statuses = f"{answers.create}, {answers.update}, {answers.delete}"
    ending = "" if answers.asynchronous else ", at once"
    return f"| {declared.type} | {children} | {', '.join(posts + views)} | {statuses}{ending} |"


def _lists(providers: Iterable[Provider]) -> Iterator[str]:
    for provider in providers:
        for route in provider.routes:
            above = "" if route.pattern.startswith("/") else f"{provider.namespace}/"
            verb = "" if route.method == "GET" else f"{route.method} "
            yield f"{verb}{above}{_PARAMETER.sub(_braced, route.pattern)}"


def _braced(parameter: re.Match[str]) -> str:
    return f"{{{parameter[1]}}}"
