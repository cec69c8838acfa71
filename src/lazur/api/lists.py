"""Lists of resources as ARM answers them: filtered, shown, paged.

Must never answer with a document outside the scope that was authorised.
"""

from __future__ import annotations

from typing import Any

from lazur.api.message import Request, Response
from lazur.api.pipeline import Pipeline
from lazur.api.queries import page, parse_filter
from lazur.model.armid import ArmId
from lazur.model.registry import AnyResource


def listed(pipeline: Pipeline, request: Request, prefix: str, declared: AnyResource) -> Response:
    """All resources of one type whose key begins with `prefix`."""
    text = request.query.get("$filter", "").strip()
    records = pipeline.store.list(prefix=prefix, type=declared.type)
    chosen = filter(parse_filter(text), records) if text else records
    expand = request.query.get("$expand", "")
    return paged(pipeline, request, [pipeline.presenter.show(r, expand) for r in chosen])


def paged(pipeline: Pipeline, request: Request, items: list[Any]) -> Response:
    """A page of `items`, which are all there is."""
    return Response(200, page(items, request.query, pipeline.stamp.url(request.path)))


def prefix_of(scope: ArmId, declared: AnyResource) -> str:
    """What the keys of a list at `scope` begin with: a type that has several scopes is listed for one alone."""
    if len(declared.scopes) == 1:
        return scope.key.rstrip("/") + "/"
    return f"{scope.key.rstrip('/')}/providers/{declared.type.lower()}/"
