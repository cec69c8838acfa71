"""What goes through the front door: a request that was read and whose caller is known, and the answer to it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError

from lazur.kernel.apart import LARGE, apart
from lazur.kernel.errors import LazurError, all_at_once
from lazur.model.armid import ArmId
from lazur.model.fields import Model
from lazur.model.rights import Caller

_DEEPEST = 100
M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Request:
    """One authenticated request, already read. `scope` is what its path begins with."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    raw: bytes
    caller: Caller
    scope: ArmId = field(default_factory=ArmId)

    def body(self, reads: Callable[[bytes], Any] = json.loads) -> Any:
        """The body as `reads` understands it, `{}` when there is none; raises `InvalidRequestContent`."""
        try:
            return _sound(reads((self.raw.strip() and self.raw) or b"{}"))
        except (ValueError, RecursionError) as error:
            message = f"The request content was invalid and could not be deserialized: '{error}'."
            raise LazurError("InvalidRequestContent", message) from error

    async def read(self, reads: Callable[[bytes], Any] = json.loads) -> Any:
        """The body as `body` tells it; a large one is read apart, as it may be one that takes seconds."""
        return self.body(reads) if len(self.raw) <= LARGE else await apart(lambda: self.body(reads))

    def read_as(self, model: type[M]) -> M:
        """The body as a `model`, for what is asked of a route and not stored as it is; raises all faults at once."""
        try:
            return model.model_validate(self.body())
        except ValidationError as error:
            raise all_at_once([_fault(found) for found in error.errors()]) from error

    @property
    def api_version(self) -> str:
        """The api-version, which every request has."""
        return self.query["api-version"]


@dataclass(frozen=True)
class Response:
    """Status, JSON body (None: empty), extra headers; `text` is a body that is JSON already."""

    status: int
    body: Any = None
    headers: Mapping[str, str] | None = None
    text: str | None = None


def _fault(found: Mapping[str, Any]) -> LazurError:
    message = "An object is needed." if found["type"] == "model_type" else found["msg"]
    return LazurError("InvalidRequestContent", message, target=".".join(map(str, found["loc"])) or None)


def _sound(body: Any) -> Any:
    """`body`, when it is what JSON can say and the store can keep; `ValueError` otherwise."""
    layer, depth = [body], 0
    while layer:
        if depth > _DEEPEST:
            raise ValueError(f"it is nested more than {_DEEPEST} levels deep")
        below: list[Any] = []
        for value in layer:
            if isinstance(value, dict):
                below += [*value, *value.values()]
            elif isinstance(value, list):
                below += value
            elif isinstance(value, str) and not value.isascii():
                value.encode()
            elif isinstance(value, float) and not math.isfinite(value):
                raise ValueError("it has a number that JSON has no form for")
        layer, depth = below, depth + 1
    return body
