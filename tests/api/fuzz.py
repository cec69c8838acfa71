"""A coverage-guided fuzzer of what the front door reads before it knows anything: `python -m tests.api.fuzz SECONDS [SEED]`.

Ids, paths, filters, page tokens. Changed copies of good texts are tried, and those are kept that reach lines no earlier one
reached. Whatever it is given, a reader answers with something that holds together or with a `LazurError`.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType, ModuleType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from lazur.api import queries, routes
from lazur.kernel.errors import LazurError
from lazur.model import armid
from lazur.model.armid import ArmId
from lazur.model.documents import Record
from tests.store.support import record

_PIECES = (
    "/", "//", "/providers/", "/subscriptions/", "/resourceGroups/", "providers", "Microsoft.X/a/b", "..", ".", "%2f", "%00",
    "\x00", "\n", "\\", "?", "#", "é", "\u2028", "\ud800", "\uff0f", " ", "'", "''", "(", ")", ",", " and ", " or ", " eq ",
    " ne ", "name", "tagName", "startswith(", "substringof(", "not", "A" * 300, "(" * 50, "/a/b" * 40, "0", "9" * 30, "-1",
    "٣", "=", "==",
)  # fmt: skip
TENANT = "7e000000-0000-0000-0000-000000000000"


def read_id(text: str) -> None:
    """An id is the same after it was written and read again."""
    id = ArmId._read(text, TENANT)
    again = ArmId._read(str(id), TENANT)
    assert again.key == id.key and str(again) == str(id) and id.contains(again)
    assert ArmId.from_path(id.path).key == id.key == id.key.lower()
    assert id.parent.contains(id) and id.scope.contains(id) and id.level and id.reach
    assert len(id.types) == len(id.names)


def read_path(text: str) -> None:
    """A path falls into a scope and the rest, and nothing is lost or made up."""
    parts = [p for p in text.split("/") if p]
    if not routes._PATH.fullmatch(f"/{text}"):
        return
    scope, rest = routes.address(parts, TENANT)
    whole = [p for p in (*str(scope).split("/"), *rest) if p]
    assert [p.lower() for p in whole] == [p.lower() for p in parts], (parts, whole)


def read_filter(text: str) -> None:
    """A filter that is understood says yes or no of any record."""
    assert queries.parse_filter(text)(RECORD) in (True, False)


def read_page(text: str) -> None:
    """From any token that is accepted, the links lead to the end and show nothing twice."""
    items, seen = list(range(2500)), []
    query = {"$skiptoken": text}
    for _ in range(4):
        answer = queries.page(items, queries.Window.of(query, "https://x/y"))
        seen += answer["value"]
        if "nextLink" not in answer:
            break
        query = dict(parse_qsl(urlsplit(answer["nextLink"]).query))
    assert "nextLink" not in answer and seen == items[len(items) - len(seen) :]


RECORD: Record = record("web1")
_ID = "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v"


@dataclass(frozen=True)
class Target:
    """A reader, the module its lines are counted in, and texts it understands."""

    read: Callable[[str], None]
    module: ModuleType
    seeds: Sequence[str]


TARGETS = (
    Target(read_id, armid, (
        "/", _ID, f"{_ID}/subnets/a", f"{_ID}/providers/Microsoft.Authorization/locks/l", "/subscriptions/s1",
        "/providers/Microsoft.Management/managementGroups/m", "/subscriptions/s1/providers/Microsoft.A/b/c")),
    Target(read_path, routes, (
        _ID, f"{_ID}/subnets", f"{_ID}/providers/Microsoft.Authorization/locks", "/subscriptions/s1/resources",
        "/subscriptions/s1/resourcegroups/rg/deployments/d/operations", "/providers/Microsoft.Management/managementGroups/m")),
    Target(read_filter, queries, (
        "name eq 'web1'", "resourceType eq 'a' and (name ne 'b' or location eq 'c')", "startswith(name, 'we')",
        "substringof('eb', name)", "tagName eq 'a' and tagValue eq 'b''c'")),
    Target(read_page, queries, ("", "MA==", "MTAwMA==", "MjQ5OQ==")),
)  # fmt: skip


class Fuzzer:
    """Texts worth keeping for one target, and the lines they reached."""

    def __init__(self, target: Target, seed: int) -> None:
        self.target = target
        self.random = random.Random(seed)
        self.corpus: list[str] = []
        self.lines: set[int] = set()
        for text in target.seeds:
            self.run(text)

    def run(self, text: str) -> None:
        """Try one text; what a reader must not do goes on to the caller."""
        reached: set[int] = set()

        def line(frame: FrameType, event: str, arg: Any) -> Any:
            reached.add(frame.f_lineno)
            return line

        def enter(frame: FrameType, event: str, arg: Any) -> Any:
            return line if frame.f_code.co_filename == self.target.module.__file__ else None

        before = sys.gettrace()
        sys.settrace(enter)
        try:
            self.target.read(text)
        except LazurError as error:
            assert 400 <= error.status < 500 and len(error.message) < 2000, error
        finally:
            sys.settrace(before)
        if not reached <= self.lines or not self.corpus:
            self.corpus.append(text)
        self.lines |= reached

    def next(self) -> str:
        """A changed copy of something kept."""
        text = self.random.choice(self.corpus)
        for _ in range(self.random.randint(1, 4)):
            at = self.random.randrange(len(text) + 1)
            end = min(len(text), at + self.random.choice((0, 0, 1, 5, 20)))
            piece = self.random.choice((*_PIECES, text[at : at + 30], chr(self.random.randrange(0x250))))
            text = text[:at] + piece + text[end:]
        return text


def main(seconds: float, seed: int) -> int:
    """Fuzz all targets in turn for a while."""
    fuzzers, runs, end = [Fuzzer(t, seed) for t in TARGETS], 0, time.monotonic() + seconds
    while time.monotonic() < end:
        for fuzzer in fuzzers:
            text = fuzzer.next()
            try:
                fuzzer.run(text)
            except Exception:
                sys.stdout.write(f"{fuzzer.target.read.__name__}: {text!r}\n")
                raise
            runs += 1
    sys.stderr.write(f"{runs} texts; kept {[len(f.corpus) for f in fuzzers]}, lines {[len(f.lines) for f in fuzzers]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1))
