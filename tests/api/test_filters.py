"""`$filter` as clients send it, and as nobody should."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazur.api.queries import parse_filter
from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.documents import Record

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BODY = {"location": "local", "tags": {"env": "it's and or"}}
IP = Record(
    ArmId("s", "Web").resource("Microsoft.Network/publicIPAddresses", "Pip1"), "u", 1, 1, BODY, "Succeeded", "", "", NOW, NOW
)

YES = (
    "resourceGroup eq 'web' and name eq 'pip1' and resourceType eq 'Microsoft.Network/publicIPAddresses'",
    "tagName eq 'env' and tagValue eq 'it''s and or'",
    "location ne 'mars'",
    "substringof('IP', name)",
    "startswith(name,'pi')",
    "(name eq 'x' or name eq 'PIP1') and provisioningState eq 'Succeeded'",
    "name eq 'x' or name eq 'y' and name eq 'x' or tagname eq 'env'",
)
NO = ("name eq 'x' or name eq 'y'", "startswith(tagName, 'nv')", "name eq 'pip1' and (location eq 'a' or location eq 'b')")
WRONG = (
    "name", "name eq", "name eq pip1", "color eq 'x'", "name gt 'x'", "(name eq 'x'", "name eq 'x' name eq 'y'",
    "name eq 'x", "startswith('x', name)", "(" * 300 + "name eq 'x'", "name eq 'x' and " * 400 + "name eq 'x'",
)  # fmt: skip


@pytest.mark.parametrize("text", YES)
def test_what_matches(text: str) -> None:
    assert parse_filter(text)(IP)


@pytest.mark.parametrize("text", NO)
def test_what_does_not(text: str) -> None:
    assert not parse_filter(text)(IP)


@pytest.mark.parametrize("text", WRONG)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(LazurError) as refused:
        parse_filter(text)
    assert (refused.value.code, refused.value.status) == ("InvalidFilterInQueryString", 400)


@given(st.text(alphabet="name eq'()or and,startswith\\\" $", max_size=60))
def test_any_input_is_answered(text: str) -> None:
    try:
        parse_filter(text)(IP)
    except LazurError as refused:
        assert refused.code == "InvalidFilterInQueryString"
