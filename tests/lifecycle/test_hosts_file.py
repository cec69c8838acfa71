"""The hosts file keeps every line that is not ours, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazur.lifecycle.hosts_file import BEGIN, END, HostsFile

OTHERS = "127.0.0.1 localhost\n# mine\n\n192.0.2.7\tserver server.example\n"


def test_lines_come_and_go(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text(OTHERS)
    path.chmod(0o640)
    inode = path.stat().st_ino
    hosts = HostsFile(path)
    hosts.keep({"portal.local.lazur.internal": "10.239.1.10", "login.local.lazur.internal": "10.239.1.10"})
    lines = path.read_text().splitlines()
    assert "10.239.1.10 login.local.lazur.internal" in lines and "10.239.1.10 portal.local.lazur.internal" in lines
    hosts.keep({"login.local.lazur.internal": "10.239.1.11"})
    assert hosts.names() == {"login.local.lazur.internal": "10.239.1.11"}
    hosts.remove()
    assert path.read_text() == OTHERS
    assert path.stat().st_ino == inode, "a bind mount cannot be replaced"


def test_an_absent_file_stays_absent(tmp_path: Path) -> None:
    HostsFile(tmp_path / "none").remove()
    assert not (tmp_path / "none").exists() and HostsFile(tmp_path / "none").names() == {}


@pytest.mark.parametrize("damage", [f"{OTHERS}{BEGIN}\n10.0.0.1 a\n", f"{OTHERS}{END}\n"])
def test_a_damaged_block_takes_no_other_line_along(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "hosts"
    path.write_text(damage + "192.0.2.9 later\n")
    HostsFile(path).keep({"x.internal": "10.0.0.2"})
    HostsFile(path).remove()
    assert path.read_text().startswith(OTHERS) and "192.0.2.9 later\n" in path.read_text()


@given(st.lists(st.text(alphabet="abc #.\t", max_size=12)), st.booleans())
def test_whatever_else_is_there_is_as_before(tmp_path_factory: pytest.TempPathFactory, lines: list[str], ended: bool) -> None:
    path = tmp_path_factory.mktemp("hosts") / "hosts"
    before = "\n".join(lines) + ("\n" if ended else "")
    path.write_text(before)
    HostsFile(path).keep({"x.internal": "10.0.0.2"})
    assert HostsFile(path).names()["x.internal"] == "10.0.0.2"
    HostsFile(path).remove()
    assert path.read_text().rstrip("\n") == before.rstrip("\n")
