"""Logs of different programs are put in one order of time."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from lazur.kernel.errors import LazurError
from lazur.lifecycle.rack import layout, logs

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def paths(tmp_path: Path) -> layout.Paths:
    paths = layout.Paths(tmp_path)
    for name in ("edge", "h01"):
        paths.logs(name).mkdir(parents=True)
    (paths.logs("edge") / "bgpd.log").write_text("2026/01/01 11:59:00 BGP: starting\n")
    (paths.logs("h01") / "ovs-vswitchd.log").write_text("2026-01-01T11:58:00Z|00001|a\nno time of its own\n")
    (paths.logs("h01") / "executor-host.log").write_text('{"timestamp": "2026-01-01T11:59:30.5Z", "event": "x"}\n{broken\n')
    return paths


def _texts(found: list[logs.Line]) -> list[str]:
    return [f"{line.source}: {line.text[:12]}" for line in found]


def test_lines_are_merged_by_time(paths: layout.Paths) -> None:
    assert _texts(logs.lines(paths, ["edge", "h01"], None, None)) == [
        "h01/ovs-vswitchd: 2026-01-01T1",
        "h01/ovs-vswitchd: no time of i",
        "edge/bgpd: 2026/01/01 1",
        'h01/executor-host: {"timestamp"',
        "h01/executor-host: {broken",
    ]


@pytest.mark.parametrize("role,count", [("h01", 4), ("bgpd", 1), ("h01/ovs-vswitchd", 2)])
def test_a_role_is_a_container_a_service_or_both(paths: layout.Paths, role: str, count: int) -> None:
    assert len(logs.lines(paths, ["edge", "h01"], role, None)) == count


def test_an_unknown_role_names_the_known_ones(paths: layout.Paths) -> None:
    with pytest.raises(LazurError, match="edge/bgpd"):
        logs.lines(paths, ["edge", "h01"], "nobody", None)


@pytest.mark.parametrize("start,count", [("90s", 3), ("2026-01-01T11:59:10", 2), ("1h", 5), ("2026-01-01T12:59:10+01:00", 2)])
def test_since(paths: layout.Paths, start: str, count: int) -> None:
    assert len(logs.lines(paths, ["edge", "h01"], None, logs.since(start, NOW))) == count


def test_since_that_means_nothing_is_refused() -> None:
    with pytest.raises(LazurError, match="ISO 8601"):
        logs.since("yesterday", NOW)
