"""How the template language says no, and the bounds it keeps.

Every refusal is a `LazurError` with Azure's code and wording where Azure's is known, the path of the offending value as
`target` and a `TemplateViolation` with line and column as evidence. A message must never quote a parameter's value
unless the parameter is known to be no secret.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lazur.kernel.errors import Evidence, LazurError, all_at_once

MAX_BODY = 4 * 1024 * 1024
"""Bytes of a deployment request (Azure: 4 MB)."""
MAX_DEPTH = 128
"""Nesting of objects and arrays in a request."""
MAX_EXPRESSION = 24_576
"""Characters of one expression (Azure's limit)."""
MAX_CALLS = 100
"""Nesting of calls and indexes within one expression."""
MAX_EVALUATIONS = 60
"""Expressions that may wait for one another (a variable that uses a variable that ...)."""
MAX_STRING = 1024 * 1024
"""Characters of a string that a function returns."""
MAX_STEPS = 2_500_000
"""Steps of looking through a whole deployment, nested templates included: calls, elements and blocks of characters made."""
MAX_RUN_STEPS = 10_000_000
"""Steps of running it, where an expression is evaluated again with every answer it waited for."""
MAX_RESOURCES = 800
MAX_PARAMETERS = 256
MAX_VARIABLES = 512
MAX_OUTPUTS = 64
MAX_COPY = 800
MAX_NESTING = 5
"""Deployments within deployments, the outermost not counted."""

Locate = Callable[[str], tuple[int, int]]
"""From the path of a value in the template to its line and column (both from 1; 0 when unknown)."""


def nowhere(path: str) -> tuple[int, int]:
    """The `Locate` of a template whose text is not at hand."""
    return 0, 0


class ExpressionFault(LazurError):
    """An expression that cannot be parsed or evaluated; caught by type to add where it stands in the template."""

    def __init__(self, message: str, *, path: str | None = None) -> None:
        super().__init__("InvalidTemplate", message, target=path)


def invalid(message: str, path: str = "", locate: Locate = nowhere) -> LazurError:
    """One fault of a template; `message` without the closing full stop that Azure puts after the quote."""
    line, column = locate(path)
    violation = {"lineNumber": line, "linePosition": column, "path": path}
    return LazurError(
        "InvalidTemplate",
        f"Deployment template validation failed: '{message}'.",
        target=path or None,
        info=[Evidence("TemplateViolation", violation)],
    )


def refuse(faults: Sequence[LazurError]) -> None:
    """Raise every fault at once, when there is any: one as itself, several as details of one `InvalidTemplate`."""
    if not faults:
        return
    if len(faults) == 1:
        raise faults[0]
    merged = all_at_once(faults)
    raise LazurError(
        "InvalidTemplate",
        f"Deployment template validation failed: {len(faults)} faults were found. See details.",
        details=merged.details,
    )


def joined(names: Sequence[str]) -> str:
    """Names as Azure lists them in messages."""
    return ", ".join(names)
