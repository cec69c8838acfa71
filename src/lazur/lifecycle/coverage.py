"""What works today, as Markdown: the table in README.md from the registry, docs/conformance.md from what clients were answered.

Pure but for finding the providers. Must never say anything that the declarations and the clients' results do not say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lazur.providers
from lazur.api.openapi import documents, patterns
from lazur.kernel.errors import LazurError
from lazur.model.registry import AnyResource, Registry

BEGIN = "<!-- made by `./lazur docs`: begin -->"
END = "<!-- made by `./lazur docs`: end -->"


def table(registry: Registry) -> str:
    """Every resource type with its children, actions and answers, then where all other operations are found."""
    lines = [
        "| Resource type | Children with routes of their own | Actions and views | Created, updated, deleted |",
        "|---|---|---|---|",
    ]
    lines += [_row(declared) for declared in registry.types()]
    count = len(Operations(documents(registry)).names)
    others = "the lists at every level, tags, moves, exports, permissions, features, the activity log and more"
    said = f"With {others} these are {count} operations. Each is in [docs/conformance.md](docs/conformance.md)."
    return "\n".join([*lines, "", said])


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


# -- conformance ------------------------------------------------------------------------------------------------------

Results = Mapping[str, Mapping[str, Any]]
"""`operations`: operation -> api-version -> client -> statuses; `flows`: way to sign in -> client -> how it ended; `beyond`: a
way -> why nobody tries it."""
METHODS = ("get", "head", "put", "patch", "post", "delete")


class Operations:
    """Every operation of this clone's providers by the name the page has for it: `Microsoft.X/Things_Get`."""

    def __init__(self, documents: Mapping[str, dict[str, Any]]) -> None:
        self.names: list[str] = []
        self._found = []
        for namespace, document in documents.items():
            for pattern, item in patterns(document):
                known = {m.upper(): f"{namespace}/{item[m]['operationId']}" for m in METHODS if m in item}
                self._found.append((pattern, known))
                self.names += known.values()

    def name(self, method: str, path: str) -> str:
        """The operation a request asked for; empty for what belongs to no provider."""
        return next((known[method] for pattern, known in self._found if method in known and pattern.fullmatch(path)), "")


_CONFORMANCE = """# Conformance

What unmodified clients asked of this cloud, operation by operation, and how they were answered when they last did. Made by
`./lazur docs` from what the tests of `tests/clients/` wrote down (`LAZUR_RESULTS=write ./lazur test -- tests/clients`); an
operation that none of them has asked for yet says so. All operations are tested without clients as well: their statuses,
rights and documents ([SDKs, OpenAPI](sdks.md)).
"""


def conformance(results: Results) -> str:
    """The page."""
    known = Operations(openapi_documents())
    lines = [_CONFORMANCE, "## Signing in", "", "| way | client | last result |", "|---|---|---|"]
    for flow, clients in sorted(results.get("flows", {}).items()):
        lines += [f"| {flow} | {client} | {ended} |" for client, ended in sorted(clients.items())]
    lines += ["", "What these clients have beyond that:", "", "| way | why it is not tried |", "|---|---|"]
    lines += [f"| {way} | {reason} |" for way, reason in sorted(results.get("beyond", {}).items())]
    asked = results.get("operations", {})
    for namespace in dict.fromkeys(name.partition("/")[0] for name in sorted(known.names)):
        lines += ["", f"## {namespace}", "", "| operation | api-version | client | last answers |", "|---|---|---|---|"]
        for name in sorted(n for n in known.names if n.startswith(f"{namespace}/")):
            lines += _asked(name.partition("/")[2], asked.get(name, {}))
    return "\n".join(lines) + "\n"


def _asked(name: str, versions: Mapping[str, Mapping[str, str]]) -> list[str]:
    rows = [
        f"| {name} | {version} | {client} | {statuses} |"
        for version, clients in sorted(versions.items(), reverse=True)
        for client, statuses in sorted(clients.items())
    ]
    return rows or [f"| {name} | | | not asked by a client yet |"]
