"""Who signed in, who was refused, what was locked or ended: one log line each, for the people who watch over the stamp.

Must never contain what somebody typed into a name field (people type passwords there), nor any token, code or secret.
"""

from __future__ import annotations

from lazur.identity.oauth import OAuthError
from lazur.kernel.log import logger

_log = logger("audit")


def signed_in(flow: str, tenant: str, principal: str, app: str) -> None:
    """`principal` was given tokens."""
    _log.info("signed in", flow=flow, tenant=tenant, object=principal, app=app)


def refused(flow: str, error: OAuthError, source: str, *, tenant: str = "", principal: str = "", app: str = "") -> None:
    """Somebody at `source` was refused; `principal` is only known when the name exists."""
    _log.warning("sign-in refused", flow=flow, code=error.code, source=source, tenant=tenant, object=principal, app=app)


def locked(source: str, principal: str) -> None:
    """Too many failures: an account, a source or both wait now."""
    _log.warning("locked out", source=source, object=principal)


def renewed(tenant: str, principal: str) -> None:
    """Somebody chose a new password while signing in."""
    _log.info("password changed", tenant=tenant, object=principal)


def ended(grant: str, reason: str) -> None:
    """A sign-in was ended before its time."""
    _log.warning("sign-in ended", grant=grant, reason=reason)
