"""The few HTML pages of a sign-in. Must never contain a value that was not escaped, nor load anything from elsewhere.

They need no script and no picture: a page works in a text browser, with a screen reader and by keyboard alone. The one
script there is posts the finished answer (`auto_post`) and has a button beside it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import urlsplit

from lazur.identity.passwords import RULES

_STYLE = """
:root{color-scheme:light dark;--ink:#16202c;--soft:#51606f;--line:#8391a0;--card:#fff;--back:#eef2f6;--mark:#0a5cb8;
--on:#fff;--bad:#a4161a;--badback:#fdecec}
@media(prefers-color-scheme:dark){:root{--ink:#e8eef4;--soft:#a9b6c3;--line:#6b7a89;--card:#1b2531;--back:#101820;
--mark:#6cb3ff;--on:#0a1420;--bad:#ffb3b0;--badback:#3a1c1e}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:flex;flex-direction:column;align-items:center;justify-content:center;padding:1.5rem;
background:var(--back);color:var(--ink);font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{width:100%;max-width:26rem;padding:2.25rem 2rem;background:var(--card);border-radius:.75rem;
box-shadow:0 .0625rem .1875rem #0002,0 .75rem 2rem #0001}
.brand{display:flex;align-items:center;gap:.625rem;margin:0 0 1.5rem;font-weight:600;color:var(--soft)}
.brand svg{width:1.75rem;height:1.75rem;flex:none}
h1{margin:0;font-size:1.5rem;line-height:1.25;font-weight:600;overflow-wrap:anywhere}
.for{margin:.25rem 0 0;color:var(--soft);overflow-wrap:anywhere}
form{margin:1.25rem 0 0}
label{display:block;margin:1rem 0 .25rem;font-weight:500}
input{width:100%;min-height:2.75rem;padding:.5rem .75rem;font:inherit;color:inherit;background:transparent;
border:.0625rem solid var(--line);border-radius:.4rem}
input[aria-invalid=true]{border-color:var(--bad)}
input.code{font-family:ui-monospace,monospace;font-size:1.25rem;letter-spacing:.15em;text-transform:uppercase}
:focus-visible{outline:.1875rem solid var(--mark);outline-offset:.125rem}
.acts{display:flex;flex-wrap:wrap;gap:.75rem;margin-top:1.75rem}
button{flex:1;min-height:2.75rem;padding:.5rem 1.25rem;font:inherit;font-weight:600;white-space:nowrap;
cursor:pointer;border-radius:.4rem;border:.0625rem solid var(--mark);background:var(--mark);color:var(--on)}
button.plain{background:transparent;color:var(--mark)}
.or{display:flex;align-items:center;gap:.75rem;margin:1.5rem 0 0;color:var(--soft)}
.or::before,.or::after{content:"";flex:1;border-top:.0625rem solid var(--line);opacity:.5}
.or+form{margin-top:1rem}.or~form+form{margin-top:.75rem}.or~form button{width:100%}
.error{margin:1.25rem 0 0;padding:.75rem 1rem;border-radius:.4rem;background:var(--badback);color:var(--bad);
overflow-wrap:anywhere}
a{color:var(--mark)}
.note{margin:1rem 0 0;color:var(--soft)}
.where{margin:1rem 0 0;color:var(--soft);font-size:.875rem;text-align:center;overflow-wrap:anywhere}
"""
_SUBMIT = "document.forms[0].submit()"
_MARK = (
    '<svg viewBox="0 0 28 28" aria-hidden="true" focusable="false"><rect width="28" height="28" rx="7" fill="#0a5cb8"/>'
    '<path d="M9 6v13.5h10.5M14 6v8.5h5.5" fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round"'
    ' stroke-linejoin="round"/></svg>'
)


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def policy(*targets: str) -> str:
    """The Content-Security-Policy of a page whose form may end at our own address or at the origin of a target."""
    parts = [urlsplit(target) for target in targets]
    away = "".join(f" {part.scheme}://{part.netloc}" for part in parts if part.netloc)
    return (
        f"default-src 'none'; style-src {_digest(_STYLE)}; script-src {_digest(_SUBMIT)};"
        f" form-action 'self'{away}; frame-ancestors 'none'; base-uri 'none'"
    )


@dataclass(frozen=True)
class Frame:
    """What surrounds every page: whose cloud this is, and the address a person should see in the browser's bar."""

    organisation: str
    host: str

    def page(self, title: str, body: str, head: str = "") -> str:
        """A whole document; `body` and `head` are HTML already."""
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="referrer" content="no-referrer">'
            f"{head}<title>{escape(title)} - {escape(self.organisation)}</title><style>{_STYLE}</style></head><body><main>"
            f'<p class="brand">{_MARK}<span>{escape(self.organisation)}</span></p>{body}</main>'
            f'<p class="where">You are at {escape(self.host)}</p></body></html>'
        )


def _hidden(fields: Mapping[str, str]) -> str:
    return "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in fields.items()
    )


def _error(text: str) -> str:
    return f'<p class="error" id="fault" role="alert">{escape(text)}</p>' if text else ""


def _faulty(error: str) -> str:
    return ' aria-invalid="true" aria-describedby="fault"' if error else ""


@dataclass(frozen=True)
class SignInPage:
    """Asks for name and password, or sends on to one of the outside providers (`key`, name shown)."""

    app: str
    hidden: Mapping[str, str]
    hint: str = ""
    error: str = ""
    device: str = ""
    outside: Sequence[tuple[str, str]] = ()

    def html(self, frame: Frame) -> str:
        """The page, to be posted back to its own address with the `hidden` fields."""
        focus_name, focus_password = ("", " autofocus") if self.hint else (" autofocus", "")
        form = (
            f'<form method="post" autocomplete="on">{_hidden(self.hidden)}'
            '<label for="username">User name</label>'
            f'<input id="username" name="username" inputmode="email" value="{escape(self.hint)}" autocomplete="username"'
            f' autocapitalize="none" spellcheck="false" maxlength="256" required{focus_name}{_faulty(self.error)}>'
            '<label for="password">Password</label>'
            '<input id="password" name="password" type="password" autocomplete="current-password" maxlength="256"'
            f" required{focus_password}{_faulty(self.error)}>"
            '<div class="acts"><button type="submit">Sign in</button>'
            '<button class="plain" name="cancel" value="1" formnovalidate>Cancel</button></div></form>'
        )
        title = "Sign in"
        head = f'<h1>{title}</h1><p class="for">to continue to {escape(self.app)}</p>'
        note = f'<p class="note">{escape(self.device)}</p>' if self.device else ""
        return frame.page(title, head + note + _error(self.error) + form + self._outside())

    def _outside(self) -> str:
        if not self.outside:
            return ""
        buttons = "".join(
            f'<form method="post">{_hidden({**self.hidden, "outside": key})}'
            f'<button class="plain" type="submit">Sign in with {escape(name)}</button></form>'
            for key, name in self.outside
        )
        return f'<p class="or">or</p>{buttons}'


def new_password(frame: Frame, hidden: Mapping[str, str], name: str, *, error: str = "") -> str:
    """Asks for a new password, twice."""
    fields = "".join(
        f'<label for="{field}">{label}</label><input id="{field}" name="{field}" type="password"'
        f' autocomplete="new-password" maxlength="256" required{extra}{_faulty(error)}>'
        for field, label, extra in (("fresh", "New password", " autofocus"), ("again", "The same again", ""))
    )
    return frame.page(
        "Choose a new password",
        f'<h1>Choose a new password</h1><p class="for">The old one of {escape(name)} has to be changed before you go on. '
        f"It takes {escape(RULES)}.</p>{_error(error)}"
        f'<form method="post">{_hidden(hidden)}'
        f'<input type="text" name="username" value="{escape(name)}" autocomplete="username" hidden>{fields}'
        '<div class="acts"><button type="submit">Change and sign in</button></div></form>',
    )


def device_code(frame: Frame, hidden: Mapping[str, str], *, error: str = "") -> str:
    """Asks for the code a device shows."""
    return frame.page(
        "Enter the code",
        '<h1>Enter the code</h1><p class="for">Your program shows a code. Enter it only if you started that program'
        f' yourself; nobody has a reason to send you one.</p>{_error(error)}<form method="post">{_hidden(hidden)}'
        '<label for="user_code">Code</label>'
        '<input class="code" id="user_code" name="user_code" autocomplete="off" autocapitalize="characters"'
        f' spellcheck="false" maxlength="32" required autofocus{_faulty(error)}>'
        '<div class="acts"><button type="submit">Next</button></div></form>',
    )


def auto_post(frame: Frame, target: str, fields: Mapping[str, str]) -> str:
    """Posts `fields` to `target` at once (response mode form_post); a button does it where scripts are off."""
    return frame.page(
        "Signing you in",
        '<h1>Signing you in</h1><p class="for">If nothing happens, continue by hand.</p>'
        f'<form method="post" action="{escape(target)}">{_hidden(fields)}'
        f'<div class="acts"><button type="submit">Continue</button></div></form><script>{_SUBMIT}</script>',
    )


def onward(frame: Frame, target: str, name: str) -> str:
    """Goes on to `target` by itself, without a script. Browsers hold a redirect that answers a form to the addresses the
    page with the form may post to, and that page may even be another provider's; a page in between is free to go on."""
    return frame.page(
        "Going on",
        f'<h1>Going on to {escape(name)}</h1><p class="for">If nothing happens,'
        f' <a href="{escape(target)}">continue by hand</a>.</p>',
        f'<meta http-equiv="refresh" content="0;url={escape(target)}">',
    )


def message(frame: Frame, title: str, text: str) -> str:
    """Says one thing."""
    return frame.page(title, f'<h1>{escape(title)}</h1><p class="for">{escape(text)}</p>')
