"""Microsoft.Features: what is offered as a preview. This cloud offers none, and says so of every one that is asked for."""

from __future__ import annotations

from typing import Any

from lazur.api.message import Request
from lazur.api.pipeline import Pipeline
from lazur.kernel.errors import LazurError
from lazur.model.registry import Provider, Route


def features(pipeline: Pipeline, request: Request, namespace: str = "") -> dict[str, Any]:
    """The features of all providers, or of one."""
    if namespace:
        pipeline.registry.namespace(namespace)
    return {"value": []}


def feature(pipeline: Pipeline, request: Request, namespace: str, name: str) -> dict[str, Any]:
    """One feature, to see, to register or to unregister."""
    spelled = pipeline.registry.namespace(namespace)
    message = f"The feature '{name}' could not be found: '{spelled}' has no previews here, what it offers is on for everybody."
    raise LazurError("FeatureNotFound", message, status=404)


_HERE = ("subscription",)
_OF = "providers/(?P<namespace>[^/]+)/features"
_ONE = f"{_OF}/(?P<name>[^/]+)"
_RIGHTS = "Microsoft.Features/providers/features"
PROVIDER = Provider(
    "Microsoft.Features",
    [],
    (
        Route("GET", _HERE, "features", "Microsoft.Features/features/read", features),
        Route("GET", _HERE, _OF, f"{_RIGHTS}/read", features),
        Route("GET", _HERE, _ONE, f"{_RIGHTS}/read", feature),
        Route("POST", _HERE, f"{_ONE}/register", f"{_RIGHTS}/register/action", feature),
        Route("POST", _HERE, f"{_ONE}/unregister", f"{_RIGHTS}/unregister/action", feature),
    ),
)
