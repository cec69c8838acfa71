"""Declaration of user-assigned identities."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from lazur.kernel.errors import LazurError
from lazur.model.fields import Caseless, Model
from lazur.model.identity import identity_of, shown_ids
from lazur.model.resource import Answers, Embedded, Rendering, Resource

API_VERSIONS = ("2025-05-31-preview", "2025-01-31-preview", "2024-11-30", "2023-01-31", "2022-01-31-preview", "2018-11-30")
_MOST_CREDENTIALS = 20


class FederatedIdentityCredentialProperties(Model):
    """Whose tokens stand for the identity."""

    issuer: Annotated[str, Field(min_length=1, max_length=600)]
    subject: Annotated[str, Field(min_length=1, max_length=600)]
    audiences: Annotated[list[Annotated[str, Field(max_length=600)]], Field(min_length=1, max_length=1)]


class FederatedIdentityCredential(Model):
    """A token of another issuer that stands for the identity."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{2,119}$")]
    properties: FederatedIdentityCredentialProperties


class UserAssignedIdentitySpec(Model):
    """What the customer may say of an identity."""

    read_only: ClassVar[frozenset[str]] = frozenset({"tenantId", "principalId", "clientId", "provisioningState"})
    isolation_scope: Annotated[Literal["None", "Regional"] | None, Caseless()] = None
    federated_identity_credentials: list[FederatedIdentityCredential] = []
    """The identity's federated credentials, which Azure shows below it only."""


def credentials_differ(spec: UserAssignedIdentitySpec) -> Iterator[LazurError]:
    """Not too many, and no two that one token would fit."""
    seen: set[tuple[str, str]] = set()
    found = spec.federated_identity_credentials
    if len(found) > _MOST_CREDENTIALS:
        message = f"An identity has at most {_MOST_CREDENTIALS} federated identity credentials."
        yield LazurError("BadRequest", message, target="properties.federatedIdentityCredentials")
    for index, one in enumerate(found):
        pair = (one.properties.issuer, one.properties.subject)
        if pair in seen:
            message = f"Another federated identity credential has issuer '{pair[0]}' and subject '{pair[1]}' already."
            target = f"properties.federatedIdentityCredentials[{index}].properties.subject"
            yield LazurError("BadRequest", message, target=target)
        seen.add(pair)


class UserAssignedIdentity(Resource[UserAssignedIdentitySpec]):
    """An identity of the directory that resources can have, and that goes with its own document."""

    type = "Microsoft.ManagedIdentity/userAssignedIdentities"
    api_versions = API_VERSIONS
    answers = Answers(create=201, update=200, delete=200, asynchronous=False)
    envelope = frozenset[str]()
    name_pattern = r"^[A-Za-z0-9][A-Za-z0-9_-]{2,127}$"
    rules = (credentials_differ,)
    embedded = (
        Embedded(
            "federatedIdentityCredentials", "federatedIdentityCredentials", FederatedIdentityCredentialProperties,
            {"issuer": "https://ci.example", "subject": "repo:x", "audiences": ["api://AzureADTokenExchange"]},
        ),
    )  # fmt: skip
    example_name = "identity{n}"
    example: ClassVar = {"location": "local", "properties": {}}

    @classmethod
    def render(cls, shown: Rendering) -> dict[str, Any]:
        """With who it is in the directory."""
        said = {name: value for name, value in shown.properties.items() if value != []}
        return {**said, **shown_ids(identity_of(shown.record), "tenantId", "principalId", "clientId")}
