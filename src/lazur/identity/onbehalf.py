"""On behalf of somebody: what a program in between must show, and what was consented to. Pure but for the check of a token.

Must never accept a token that was made for another program than the one that presents it, and never go beyond a grant.
"""

from __future__ import annotations

from lazur.identity.directory import Directories
from lazur.identity.endpoints import Endpoints, normal
from lazur.identity.firstparty import ARM, MICROSOFT_GRAPH
from lazur.identity.oauth import OIDC_SCOPES, Audience, OAuthError
from lazur.identity.objects import Application, User
from lazur.identity.tokens import Principal, TokenRevoked, Verifier
from lazur.kernel.errors import LazurError

_NUMBERS = {"InvalidAuthenticationTokenAudience": 500131, "ExpiredAuthenticationToken": 500133}
_INVALID = 50013


def presented(verifier: Verifier, app: Application, token: str) -> Principal:
    """The person whose access token for `app` this is."""
    own = frozenset(normal(name) for name in (app.app_id, f"api://{app.app_id}"))
    try:
        caller = verifier.verify(token, own)
    except LazurError as error:
        number = 50173 if isinstance(error, TokenRevoked) else _NUMBERS.get(error.code, _INVALID)
        raise OAuthError("invalid_grant", number, f"The assertion is not valid: {error.message}") from None
    if caller.kind != "user":
        raise OAuthError("invalid_grant", 7000114, "The assertion is of a program, not of a person.")
    return caller


def check_consent(directories: Directories, endpoints: Endpoints, app: Application, user: User, asked: Audience) -> None:
    """AADSTS65001 unless somebody who may has granted `app` what it asks for in the name of `user`."""
    directory = directories.by_id[user.tenant_id]
    client, resource = directory.principal(app.app_id), directory.principal(_behind(asked.resource, endpoints))
    held = directory.consented(client.object_id, resource.object_id, user.object_id) if client and resource else frozenset()
    wanted = {word.rpartition("/")[2] for word in asked.scope.split() if word not in OIDC_SCOPES}
    if not held or not wanted - {".default"} <= held:
        raise OAuthError(
            "invalid_grant",
            65001,
            f"No administrator has consented that '{app.display_name}' uses '{asked.resource}' for the people who call it.",
        )


def _behind(resource: str, endpoints: Endpoints) -> str:
    """The id of the application that a token for `resource` is for."""
    name = normal(resource)
    if name in endpoints.accepted_by_arm:
        return ARM
    if name in endpoints.accepted_by_graph:
        return MICROSOFT_GRAPH
    return name.removeprefix("api://")
