"""Lists of resources as ARM answers them: filtered, shown, paged.

Must never answer with a document outside the scope that was authorised.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from lazur.api.message import Request, Response
from lazur.api.pipeline import Pipeline
from lazur.api.queries import AT_ONCE, Test, Window, matching, page, parse_filter
from lazur.kernel.compact import compact
from lazur.model.armid import ArmId
from lazur.model.registry import AnyResource


async def listed(pipeline: Pipeline, request: Request, prefix: str, declared: AnyResource) -> Response:
    """The resources of one type whose key begins with `prefix`, a page of them."""
    return await _shown(pipeline, request, prefix, declared.type, _filter(request), brief=False)


async def all_listed(pipeline: Pipeline, request: Request, prefix: str, shows: Test) -> Response:
    """The resources of all types that `shows` lets through, without their properties."""
    keep = _filter(request)
    return await _shown(pipeline, request, prefix, "", lambda r: shows(r) and (keep is None or keep(r)), brief=True)


def _filter(request: Request) -> Test | None:
    text = request.query.get("$filter", "").strip()
    return parse_filter(text) if text else None


async def _shown(pipeline: Pipeline, request: Request, prefix: str, type: str, keep: Test | None, *, brief: bool) -> Response:
    async def others() -> None:
        await pipeline.clock.sleep(0)

    records, link = await matching(pipeline.store, prefix, type, keep, _window(pipeline, request), others)
    texts: list[str] = []
    for start in range(0, len(records), AT_ONCE):
        part = records[start : start + AT_ONCE]
        texts += pipeline.presenter.texts(part, request.query.get("$expand", ""), brief=brief)
        await others()
    rest = f',"nextLink":{compact(link)}' if link else ""
    return Response(200, text=f'{{"value":[{",".join(texts)}]{rest}}}')


def paged(pipeline: Pipeline, request: Request, items: list[Any]) -> Response:
    """A page of `items`, which are all there is."""
    return Response(200, page(items, _window(pipeline, request)))


def _window(pipeline: Pipeline, request: Request) -> Window:
    return Window.of(request.query, pipeline.stamp.url(quote(request.path)))


def prefix_of(scope: ArmId, declared: AnyResource) -> str:
    """What the keys of a list at `scope` begin with: a type that has several scopes is listed for one alone."""
    if len(declared.scopes) == 1:
        return scope.key.rstrip("/") + "/"
    return f"{scope.key.rstrip('/')}/providers/{declared.type.lower()}/"
