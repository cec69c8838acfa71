"""A person at a browser: follows the sign-in pages of the cloud. Runs alone, in any Python; must never import this package.

`person.py URL` (as the program in `BROWSER`) signs in at that page and follows it to the program that waits for it;
`person.py URL CODE` enters a device's code first. Name and password come from LAZUR_USER and LAZUR_PASSWORD.
"""

from __future__ import annotations

import os
import sys
from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin
from urllib.request import HTTPCookieProcessor, OpenerDirector, Request, build_opener


class Form(HTMLParser):
    """The first form of a page: where it goes, and the fields it holds already."""

    def __init__(self, url: str, text: str) -> None:
        super().__init__()
        self.action, self.fields, self.asked = url, dict[str, str](), set[str]()
        self._url, self._forms = url, 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self._forms += tag == "form"
        if self._forms > 1:
            return
        if tag == "form":
            self.action = urljoin(self._url, found.get("action") or self._url)
        elif tag == "input" and found.get("type") == "hidden":
            self.fields[found["name"] or ""] = found.get("value") or ""
        elif tag == "input":
            self.asked.add(found["name"] or "")


def opened(browser: OpenerDirector, url: str, fields: dict[str, str] | None = None) -> Form:
    """The page at `url`, or what it says when `fields` are posted to it."""
    data = urlencode(fields).encode() if fields is not None else None
    with browser.open(Request(url, data), timeout=60) as answer:
        return Form(answer.url, answer.read().decode())


def main() -> None:
    """Fill in page after page until one asks for nothing."""
    known = {"username": os.environ["LAZUR_USER"], "password": os.environ["LAZUR_PASSWORD"]}
    if len(sys.argv) > 2:
        known["user_code"] = sys.argv[2]
    browser = build_opener(HTTPCookieProcessor())
    page = opened(browser, sys.argv[1])
    while page.asked or page.fields:
        page = opened(browser, page.action, {**page.fields, **{name: known[name] for name in page.asked}})


if __name__ == "__main__":
    main()
