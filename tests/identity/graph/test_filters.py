"""What `$filter` lets through, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazur.identity.graph.filters import predicate
from lazur.kernel.errors import LazurError

ALICE: dict[str, Any] = {
    "id": "11111111-0000-4000-8000-000000000001", "displayName": "Alice O'Neil", "accountEnabled": True, "age": 7,
    "mail": None, "uris": ["api://a", "https://B"], "keys": [{"id": "k1", "n": 1}, {"id": "k2", "n": 2}], "none": [],
    "made": "2026-01-02T03:04:05Z", "deep": {"a": {"b": "c"}},
}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "displayName eq 'alice o''neil'",
        "displayName ne 'x' and accountEnabled eq true",
        "id eq 11111111-0000-4000-8000-000000000001",
        "startswith(displayName,'ALICE') or false eq true",
        "startsWith(displayName, 'x') or endsWith(displayName,'neil')",
        "(age ge 7 and age lt 8) and not (age gt 7)",
        "mail eq null",
        "age in (1, 7)",
        "uris/any(u:u eq 'https://b')",
        "keys/any(k: k/id eq 'k2' and k/n eq 2)",
        "keys/all(k:k/n gt 0)",
        "none/$count eq 0 and uris/$count eq 2",
        "not none/any() and uris/any()",
        "deep/a/b eq 'c'",
        "made ge 2026-01-01T00:00:00Z and made le 2026-12-31T00:00:00.123Z",
        "missing ne 'x'",
    ],
)
def test_lets_through(text: str) -> None:
    assert predicate(text)(ALICE)


@pytest.mark.parametrize(
    "text",
    [
        "displayName eq 'bob'",
        "mail eq 'x'",
        "age gt 'x'",
        "startswith(mail,'')",
        "startswith(age,'7')",
        "keys/any(k:k/id eq 'k3')",
        "uris/all(u:startswith(u,'api'))",
        "accountEnabled eq false",
        "displayName in ('a','b')",
        "mail gt 1",
    ],
)
def test_keeps_out(text: str) -> None:
    assert not predicate(text)(ALICE)


@pytest.mark.parametrize(
    "text",
    ["displayName", "displayName eq", "eq 'x'", "displayName like 'x'", "displayName eq 'x", "a eq 'x' b", "f(a,'x')", "a eq b",
     "(a eq 1", "a eq 1)", "uris/any(u:u eq 'x'", "a in ()", "startswith(a,1)", "a eq 1;", "(" * 50 + "a eq 1" + ")" * 50,
     "not " * 60 + "a eq 1", "a eq '" + "x" * 9000 + "'"],
)  # fmt: skip
def test_refuses_what_is_no_filter(text: str) -> None:
    with pytest.raises(LazurError) as refused:
        predicate(text)(ALICE)
    assert refused.value.code == "Request_UnsupportedQuery" and refused.value.status == 400


@given(st.text(alphabet="abc 'eqandornotin()/:,$.0123456789é-TZ", max_size=60))
def test_whatever_comes_is_a_filter_or_a_refusal(text: str) -> None:
    try:
        predicate(text)(ALICE)
    except LazurError as error:
        assert error.status == 400
