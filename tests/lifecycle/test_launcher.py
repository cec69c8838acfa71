"""The launcher on machines made of a few programs: it asks for what is missing and leaves nothing half-made."""

from __future__ import annotations

import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from lazur.lifecycle.project import ROOT

_BARE = (
    "basename", "cat", "chmod", "cut", "dirname", "env", "find", "flock", "id", "mkdir", "mktemp", "mv", "printf", "readlink",
    "rm", "sh", "sha256sum", "sort", "tail", "uname",
)  # fmt: skip
_LOCK = sha256((ROOT / "requirements.lock").read_bytes()).hexdigest()[:24]


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder of programs that is the whole search path: no Python, no apt-get."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in _BARE:
        (programs / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    return programs


def _program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def _launch(machine: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(machine), "LAZUR_CACHE": str(machine.parent / "cache"), "HOME": str(machine.parent)}
    return subprocess.run([ROOT / "lazur", *arguments], env=environment, capture_output=True, text=True, check=False)


def test_it_is_plain_posix_shell() -> None:
    assert (ROOT / "lazur").read_text().startswith("#!/bin/sh\n")
    subprocess.run(["sh", "-n", ROOT / "lazur"], check=True)


def test_a_machine_without_python_is_told_what_it_lacks(machine: Path) -> None:
    done = _launch(machine, "status")
    assert done.returncode == 1 and "python3 python3-venv" in done.stderr and "Traceback" not in done.stderr


def test_a_ready_environment_is_used_as_it_is(machine: Path) -> None:
    _program(machine.parent / "cache/env" / _LOCK / "bin/python", 'echo "$PYTHONPATH"; for a in "$@"; do echo "$a"; done')
    done = _launch(machine, "status", "with space", "--flag=$HOME")
    assert done.stdout.splitlines() == [f"{ROOT}/src", "-P", "-m", "lazur.cli", "status", "with space", "--flag=$HOME"]
    assert done.returncode == 0 and done.stderr == ""


def test_a_symlink_to_it_works_from_anywhere(machine: Path) -> None:
    _program(machine.parent / "cache/env" / _LOCK / "bin/python", 'echo "$PYTHONPATH"')
    (machine / "lazur").symlink_to(ROOT / "lazur")
    environment = {"PATH": str(machine), "LAZUR_CACHE": str(machine.parent / "cache")}
    done = subprocess.run(["lazur"], env=environment, cwd="/", capture_output=True, text=True, check=False)
    assert done.stdout == f"{ROOT}/src\n"


def test_a_failed_environment_leaves_nothing(machine: Path) -> None:
    pip = 'case "$*" in *pip*) echo no such index; exit 1;; esac'
    venv = f'mkdir -p "$3/bin"; printf \'#!/bin/sh\\n%s\\n\' {pip!r} >"$3/bin/python"; chmod 755 "$3/bin/python"'
    _program(machine / "python3", f'case "$2" in venv) {venv};; esac')
    done = _launch(machine, "status")
    assert done.returncode == 1 and "no such index" in done.stderr
    assert [p.name for p in (machine.parent / "cache/env").iterdir()] == [".lock"]


def test_an_old_python_is_not_taken(machine: Path) -> None:
    _program(machine / "python3", "exit 1")
    done = _launch(machine, "status")
    assert done.returncode == 1 and "python3" in done.stderr
