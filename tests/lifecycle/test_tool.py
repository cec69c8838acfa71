"""A build tool's failure carries its last words; its environment is what was asked for."""

from __future__ import annotations

import sys

import pytest

from lazur.kernel.errors import LazurError
from lazur.lifecycle.tool import run_tool


def test_a_failure_carries_command_and_last_words() -> None:
    with pytest.raises(LazurError) as failure:
        run_tool(["sh", "-c", "echo first; echo the reason >&2; exit 3"])
    assert failure.value.message == "sh ended with 3: the reason"
    assert [piece.info for piece in failure.value.info][1] == ["first", "the reason"]


def test_marked_lines_are_reported() -> None:
    heard: list[str] = []
    run_tool(["sh", "-c", "echo 'I: one'; echo noise; echo 'E: two'"], heard.append)
    assert heard == ["one", "two"]


def test_variables_are_added_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEFT", "1")
    monkeypatch.setenv("GONE", "1")
    check = "import os, sys; e = os.environ; sys.exit(not (e['LEFT'] == '1' and 'GONE' not in e and e['NEW'] == '2'))"
    run_tool([sys.executable, "-c", check], environment={"GONE": None, "NEW": "2"})
