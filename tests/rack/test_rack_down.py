"""`down` leaves the machine as it was, also when the state it should go by is damaged."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from lazur.lifecycle.rack import Rack, processes
from tests.rack.support import CHECKS, HOSTS, eventually, everyone, kill, machine, obstacle, rack_in, scratch


@pytest.fixture(autouse=True)
def _possible() -> None:
    if reason := obstacle():
        pytest.skip(reason)


def _nothing(rack: Rack) -> None:
    pass


def _records(rack: Rack) -> None:
    shutil.rmtree(rack.paths.oci)


def _site(rack: Rack) -> None:
    (rack.paths.state / "site.json").write_text("not: [a site")


def _containers(rack: Rack) -> None:
    for name in rack.names:
        (rack.paths.container(name) / "fingerprint").unlink()
        (rack.paths.container(name) / "bundle" / "config.json").write_text("")
    kill(rack, "h02")


@pytest.mark.parametrize("ruin", [_nothing, _records, _site, _containers])
def test_down_leaves_nothing(ruin: Callable[[Rack], None]) -> None:
    before = machine()
    with scratch() as folder:
        rack = rack_in(folder)
        try:
            rack.up(CHECKS)
            living, during = everyone(rack), machine()
            ruin(rack)
        finally:
            rack.down()
        assert len(living) > 15 and during - before, "the comparison sees nothing, so it proves nothing"
        # Others may use the machine too: only what came with the rack counts.
        eventually("everything is gone", lambda: not (machine() - before) & during)
        assert [pid for pid, begun in living.items() if processes.started(pid) == begun] == []
        assert (folder / "hosts").read_text() == HOSTS
        assert {path.name for path in (folder / "state").iterdir()} >= {"disks", "pki", "containers"}
        assert (Rack.remembered(folder / "state") is None) == (ruin is _site), "a damaged site must not be in the way of up"
        rack.down(purge=True)
        assert not (folder / "state").exists()
