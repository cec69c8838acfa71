"""The few HTML pages of a sign-in. Must never contain a value that was not escaped, nor load anything from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from urllib.parse import urlsplit

_STYLE = (
    "body{font:16px system-ui,sans-serif;background:#f2f4f7;color:#1b1f24;margin:0}"
    "main{max-width:22rem;margin:12vh auto;padding:2rem;background:#fff;border-radius:.5rem;"
    "box-shadow:0 1px 4px #0003}h1{font-size:1.3rem;margin:0 0 1rem}label{display:block;margin:.8rem 0 .2rem}"
    "input{width:100%;box-sizing:border-box;padding:.5rem;font:inherit;border:1px solid #8a94a0;border-radius:.3rem}"
    "button{margin-top:1.2rem;padding:.55rem 1.4rem;font:inherit;color:#fff;background:#0b5cad;border:0;"
    "border-radius:.3rem}.error{color:#a4161a}"
)
_SUBMIT = "document.forms[0].submit()"


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def policy(target: str = "") -> str:
    """The Content-Security-Policy of a page whose form may end at our own address or at the origin of `target`."""
    parts = urlsplit(target)
    away = f" {parts.scheme}://{parts.netloc}" if parts.netloc else ""
    return (
        f"default-src 'none'; style-src {_digest(_STYLE)}; script-src {_digest(_SUBMIT)};"
        f" form-action 'self'{away}; frame-ancestors 'none'; base-uri 'none'"
    )


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>{body}</main></body></html>"
    )


def _hidden(fields: Mapping[str, str]) -> str:
    return "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in fields.items()
    )


def _error(text: str) -> str:
    return f'<p class="error" role="alert">{escape(text)}</p>' if text else ""


def sign_in(app: str, hidden: Mapping[str, str], *, hint: str = "", error: str = "") -> str:
    """Asks for name and password, to be posted back to the page's own address with the `hidden` fields."""
    return _page(
        "Sign in",
        f"<h1>Sign in to {escape(app)}</h1>{_error(error)}"
        f'<form method="post" autocomplete="on">{_hidden(hidden)}'
        '<label for="username">User name</label>'
        f'<input id="username" name="username" value="{escape(hint)}" autocomplete="username" required autofocus>'
        '<label for="password">Password</label>'
        '<input id="password" name="password" type="password" autocomplete="current-password" required>'
        '<button type="submit">Sign in</button></form>',
    )


def device_code(*, error: str = "") -> str:
    """Asks for the code a device shows."""
    return _page(
        "Sign in on a device",
        f"<h1>Enter the code</h1><p>Your program shows a code. Enter it only if you started that program yourself.</p>"
        f'{_error(error)}<form method="post"><label for="user_code">Code</label>'
        '<input id="user_code" name="user_code" autocomplete="off" required autofocus>'
        '<button type="submit">Next</button></form>',
    )


def auto_post(target: str, fields: Mapping[str, str]) -> str:
    """Posts `fields` to `target` at once (response mode form_post); a button does it where scripts are off."""
    return _page(
        "Signing in",
        f'<form method="post" action="{escape(target)}">{_hidden(fields)}'
        f'<noscript><button type="submit">Continue</button></noscript></form><script>{_SUBMIT}</script>',
    )


def message(title: str, text: str) -> str:
    """Says one thing."""
    return _page(title, f"<h1>{escape(title)}</h1><p>{escape(text)}</p>")
