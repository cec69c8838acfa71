"""Declaration of management locks."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from lazur.model.fields import Caseless, Model
from lazur.model.resource import Answers, Resource


class LockSpec(Model):
    """What is forbidden at the scope and everything below it."""

    read_only: ClassVar[frozenset[str]] = frozenset({"provisioningState"})
    level: Annotated[Literal["CanNotDelete", "ReadOnly", "NotSpecified"], Caseless()]
    notes: Annotated[str, Field(max_length=512)] | None = None
    owners: list[dict[str, Any]] | None = None


class Lock(Resource[LockSpec]):
    """Keeps a scope and all below it from being deleted, or from being changed at all, whoever asks."""

    type = "Microsoft.Authorization/locks"
    api_versions = ("2020-05-01", "2017-04-01", "2016-09-01", "2015-01-01")
    tracked = False
    scopes = ("managementGroup", "subscription", "group", "resource")
    patched = False
    answers = Answers(create=201, update=200, delete=200, asynchronous=False)
    envelope = frozenset()
    name_pattern = r"^[^<>%&:?/\\]{1,260}$"
    example: ClassVar = {"properties": {"level": "CanNotDelete", "notes": "The accounts live here."}}
