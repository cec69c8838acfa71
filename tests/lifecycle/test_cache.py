"""A cache entry is whole or absent, whatever happens to the process that builds it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lazur.lifecycle.cache import Cache, digest


def _build(folder: Path) -> None:
    (folder / "made").write_text("whole")


def _never(folder: Path) -> None:
    raise AssertionError("built although it was there")


def test_an_entry_is_built_once(tmp_path: Path) -> None:
    built = Cache(tmp_path).entry("kind", "a", _build)
    assert built == tmp_path / "kind" / "a" and (built / "made").read_text() == "whole"
    assert Cache(tmp_path).entry("kind", "a", _never) == built


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        _build(folder)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        Cache(tmp_path).entry("kind", "a", fail)
    assert [p.name for p in (tmp_path / "kind").iterdir()] == [".lock"]
    assert (Cache(tmp_path).entry("kind", "a", _build) / "made").exists()


_KILLED = """
import os, signal, sys
from pathlib import Path
from lazur.lifecycle.cache import Cache
def build(folder):
    (folder / "half").write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)
Cache(Path(sys.argv[1])).entry("kind", sys.argv[2], build)
"""


@pytest.mark.parametrize("killed", ["a", "another"])
def test_a_killed_build_is_cleared_by_the_next(tmp_path: Path, killed: str) -> None:
    assert subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path), killed], check=False).returncode == -9
    entry = Cache(tmp_path).entry("kind", "a", _build)
    assert [p.name for p in entry.iterdir()] == ["made"]
    assert {p.name for p in (tmp_path / "kind").iterdir()} == {".lock", "a"}


_COUNTED = """
import os, sys
from pathlib import Path
from lazur.lifecycle.cache import Cache
def build(folder):
    (folder / str(os.getpid())).write_text("x")
print(len(list(Cache(Path(sys.argv[1])).entry("kind", "a", build).iterdir())))
"""


def test_builders_at_once_share_one_build(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", _COUNTED, str(tmp_path)]
    builders = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [builder.communicate()[0].strip() for builder in builders] == ["1"] * 4
    assert len(list((tmp_path / "kind" / "a").iterdir())) == 1


def test_the_least_recently_used_entries_go(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    for age, key in enumerate("abc"):
        (tmp_path / "kind" / key).mkdir(parents=True)
        os.utime(tmp_path / "kind" / key, (100 - age, 100 - age))
    cache.entry("kind", "c", _never)
    cache.entry("kind", "d", _build)
    assert {p.name for p in (tmp_path / "kind").iterdir() if p.is_dir()} == {"c", "d"}


def test_kinds_do_not_push_each_other_out(tmp_path: Path) -> None:
    for kind in ("one", "two", "three"):
        Cache(tmp_path).entry(kind, "a", _build)
    assert all((tmp_path / kind / "a").is_dir() for kind in ("one", "two", "three"))


def test_a_digest_keeps_its_parts_apart() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("ab", "c") == digest(b"ab", b"c")
