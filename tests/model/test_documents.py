"""What is stored comes back equal: errors, resources, operations."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lazur.kernel.errors import Conflict, Evidence, LazurError, Unavailable, all_at_once
from lazur.model.armid import ArmId
from lazur.model.documents import DesireRecord, Operation, Record, Wanted
from lazur.store.codec import dumps, operation_from, operation_text, record_from, record_text

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
NAME = st.text(st.sampled_from("aB1-_ü"), min_size=1, max_size=8)

RECORDS = st.builds(
    Record,
    id=st.builds(lambda g, n: ArmId("s", g).resource("Microsoft.Compute/disks", n), NAME, NAME),
    uid=TEXT,
    generation=st.integers(1, 99),
    version=st.integers(1, 99),
    body=OBJECT,
    state=TEXT,
    etag=TEXT,
    api_version=TEXT,
    created=TIMES,
    changed=TIMES,
    created_by=OBJECT,
    changed_by=OBJECT,
    secrets=st.dictionaries(TEXT, TEXT, max_size=2),
    intent=OBJECT,
    allocated=OBJECT,
    status=OBJECT,
    observed=st.integers(0, 99),
    error=st.none() | OBJECT,
    deleting=st.booleans(),
)
OPERATIONS = st.builds(
    Operation,
    id=TEXT,
    key=TEXT,
    verb=TEXT,
    generation=st.integers(1, 9),
    subscription=TEXT,
    tenant=TEXT,
    started=TIMES,
    status=TEXT,
    ended=st.none() | TIMES,
    error=st.none() | OBJECT,
)
ERRORS: st.SearchStrategy[LazurError] = st.recursive(
    st.builds(LazurError, TEXT, TEXT, target=st.none() | TEXT),
    lambda inner: st.builds(
        LazurError,
        TEXT,
        TEXT,
        target=st.none() | TEXT,
        details=st.lists(inner, max_size=3),
        info=st.lists(st.builds(Evidence, TEXT, JSON), max_size=2),
    ),
    max_leaves=5,
)


@given(RECORDS)
def test_resources(record: Record) -> None:
    record.key, record.id.type  # what is worked out and kept must not be stored  # noqa: B018
    text = record_text(record)
    assert record_from(text) == record and record_text(record_from(text)) == text
    assert set(json.loads(text)) == set(Record.__dataclass_fields__)


def test_a_document_may_be_nested_deeper_than_a_request() -> None:
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"x": [deep]}
    id, now = ArmId("s", "g").resource("Microsoft.Compute/disks", "d"), datetime(2026, 1, 1, tzinfo=UTC)
    record = Record.made(id, "u", {}, "Succeeded", "v", now, {}, status=deep)
    assert record_from(record_text(record)) == record


@given(OPERATIONS)
def test_operations(operation: Operation) -> None:
    text = operation_text(operation)
    assert operation_from(text) == operation
    # As it was written when operations still had a result of their own, which none ever gave.
    assert operation_from(json.dumps({**json.loads(text), "output": None})) == operation


@given(OBJECT)
def test_equal_documents_are_equal_texts(document: dict[str, Any]) -> None:
    assert dumps(dict(reversed(document.items()))) == dumps(document)
    assert json.loads(dumps(document)) == document


@given(ERRORS)
def test_errors(error: LazurError) -> None:
    body = error.body()
    assert LazurError.from_body(json.loads(json.dumps(body))).body() == body
    assert body["code"] == error.code and ("details" in body) is bool(error.details)


def test_an_error_shows_nothing_internal() -> None:
    error = LazurError("Code", "What happened.", internal="/root/secret", status=503, retryable=True)
    assert error.body() == {"code": "Code", "message": "What happened."}
    assert "secret" not in str(error)
    assert Conflict("x").retryable and Conflict("x").status == 409
    assert Unavailable("x", internal="y").retryable and Unavailable("x").status == 503


def test_many_faults_are_one_error() -> None:
    first, second = LazurError("A", "a"), LazurError("B", "b", status=409)
    assert all_at_once([first]) is first
    both = all_at_once([first, second])
    assert (both.code, both.status, list(both.details)) == ("MultipleErrorsOccurred", 409, [first, second])


def test_a_desire_is_ready_only_as_it_is_wanted_now() -> None:
    def desire(generation: int, reported: int, state: str) -> DesireRecord:
        return DesireRecord(Wanted("host/h", "vm", "x", {}), "o", generation, reported=reported, state=state)

    assert desire(2, 2, "Ready").ready and not desire(2, 1, "Ready").ready and not desire(2, 2, "Pending").ready
    assert desire(2, 2, "Failed").failed and not desire(2, 1, "Failed").failed and not desire(2, 2, "Ready").failed
