"""Keeps the values of secure parameters out of everything that is shown, stored in the open or logged. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lazur.providers.resources.template import Scope

_SHORTEST = 3
"""A text shorter than this is no secret, and would be found everywhere."""


def secure_texts(scope: Scope) -> Iterable[str]:
    """Every text in the values of a template's secure parameters."""
    for key, declared in scope.template.parameters.items():
        if declared.secure and key in scope.parameters:
            yield from texts(scope.parameters[key])


def texts(value: Any) -> Iterable[str]:
    """Every text in a JSON value."""
    if isinstance(value, dict):
        return [t for v in value.values() for t in texts(v)]
    if isinstance(value, list):
        return [t for v in value for t in texts(v)]
    return [value] if isinstance(value, str) else []


def longest_first(secrets: Iterable[str]) -> list[str]:
    """Secrets in the order to look for them: one may be part of another."""
    return sorted({t for t in secrets if len(t) >= _SHORTEST}, key=lambda t: (-len(t), t))


def hidden(value: Any, secrets: Iterable[str]) -> Any:
    """A JSON value with every secret in its texts replaced."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, "*****")
        return value
    if isinstance(value, dict):
        return {hidden(k, secrets): hidden(v, secrets) for k, v in value.items()}
    return [hidden(v, secrets) for v in value] if isinstance(value, list) else value
