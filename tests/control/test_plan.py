"""What wanted and seen desires come to."""

from __future__ import annotations

from typing import Any

from lazur.control.plan import Failed, Ready, Waiting, outcome_of
from lazur.model.documents import DesireRecord, Wanted


def _want(name: str, size: int = 1) -> Wanted:
    return Wanted("host/h01", "vm", name, {"size": size})


def _seen(name: str, state: str = "Ready", *, size: int = 1, reported: int = 3, **fields: Any) -> DesireRecord:
    return DesireRecord(_want(name, size), "owner", 3, reported=reported, state=state, **fields)


def _error(code: str) -> dict[str, Any]:
    return {"code": code, "message": "m", "additionalInfo": [{"type": "QemuLog", "info": {"text": "words"}}]}


def test_ready_when_all_is_as_wanted() -> None:
    assert outcome_of([], []) == Ready()
    assert outcome_of([_seen("a"), _seen("b")], [_want("b"), _want("a")]) == Ready()


def test_waiting_for_whatever_is_not() -> None:
    for stored in (
        [],
        [_seen("a", "Pending")],
        [_seen("a", reported=2)],
        [_seen("a", size=2)],
        [_seen("a", removed=True)],
        [_seen("a"), _seen("b")],
        [_seen("a"), _seen("b", removed=True)],
        [_seen("a", "Failed", reported=2, error=_error("Old"))],
        [_seen("a", "Failed", size=2, error=_error("OfAnother"))],
    ):
        assert isinstance(outcome_of(stored, [_want("a")]), Waiting), stored
    assert isinstance(outcome_of([_seen("a")], []), Waiting), "what is stored beyond has to go first"


def test_failed_with_every_cause_and_its_evidence() -> None:
    one = outcome_of([_seen("a", "Failed", error=_error("A")), _seen("b", "Pending")], [_want("a"), _want("b")])
    assert isinstance(one, Failed) and one.error.body() == _error("A")
    stored = [_seen("a", "Failed", error=_error("A")), _seen("b", "Failed", error=_error("B"))]
    both = outcome_of(stored, [_want("a"), _want("b")])
    assert isinstance(both, Failed) and [d.body() for d in both.error.details] == [_error("A"), _error("B")]
