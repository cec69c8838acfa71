"""A short run of the coverage-guided fuzzer, and headers of any kind.

A long run is `python -m tests.api.fuzz SECONDS [SEED]`.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.api.front import Door
from tests.api.fuzz import TARGETS, Fuzzer, Target
from tests.api.test_anything import EXAMPLES, Standing
from tests.api.world import net, small_cloud

HEADERS = (
    "authorization", "content-type", "content-length", "host", "if-match", "if-none-match", "accept", "accept-language",
    "x-ms-client-request-id", "x-ms-correlation-request-id", "x-ms-return-client-request-id", "x-http-method-override",
    "x-ms-date", "x-forwarded-host", "x-forwarded-for", "range", "expect", "transfer-encoding", "referer", "cookie",
)  # fmt: skip
VALUES = (
    "", "*", '"', 'W/"', 'W/"x", W/"y"', "Bearer", "Bearer ", "Bearer a.b.c", "bearer eyJhbGciOiJub25lIn0.e30.", "Basic eDp5",
    "\u00e9",
    "a" * 9000, "-1", "99999999999999999999", "application/json; charset=utf-7", "chunked", "x" * 64, "{}", "'; drop", "0",
)  # fmt: skip


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.read.__name__)
def test_readers_answer_or_refuse(target: Target) -> None:
    fuzzer = Fuzzer(target, 7)
    known = len(fuzzer.lines)
    for _ in range(600):
        fuzzer.run(fuzzer.next())
    assert len(fuzzer.lines) >= known > 5


@settings(EXAMPLES, max_examples=25)
@given(st.lists(st.tuples(
    st.sampled_from(("GET", "HEAD", "PUT", "DELETE")),
    st.dictionaries(st.sampled_from(HEADERS), st.sampled_from(VALUES) | st.text(st.characters(max_codepoint=0xFF), max_size=20),
                    max_size=5),
), min_size=1, max_size=12))  # fmt: skip
def test_any_headers(requests: list[tuple[str, dict[str, str]]]) -> None:
    async def main(door: Door) -> None:
        id, absent = (net(door.cloud.group(), "publicIPAddresses", name) for name in ("free", "absent"))
        body = {"location": "mars"}
        for method, headers in requests:
            # A deletion goes nowhere and a PUT is wrong: whatever the headers say, nothing may change.
            path = absent if method == "DELETE" else id
            before = door.stored()
            token = None if "authorization" in headers else ""
            answer = await door.ask(method, str(path), body if method == "PUT" else None, token=token, headers=headers)
            assert answer.status < 500, f"{method} {headers}: {answer.raw!r}"
            assert door.stored() == before
            echoed = answer.headers.get("x-ms-client-request-id")
            assert echoed is None or echoed == headers["x-ms-client-request-id"]

    Standing(small_cloud()).run(main)
