"""The locks can be installed for both Pythons, from any index, and only as they were read."""

from __future__ import annotations

import re

import pytest

from lazur.lifecycle.client_environments import CLIENTS
from lazur.lifecycle.project import ROOT

_LOCKS = ("requirements", "requirements-dev", *(f"requirements-{kind}" for kind in CLIENTS))


def _pins(name: str) -> dict[str, str]:
    """Each locked requirement line by its package."""
    text = (ROOT / f"{name}.lock").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    return {re.split(r"[=<>\[; ]", line, maxsplit=1)[0]: line for line in lines}


@pytest.mark.parametrize("name", _LOCKS)
def test_everything_is_pinned_with_hashes(name: str) -> None:
    assert all(re.match(r"\S+==\S+ .*--hash=sha256:[0-9a-f]{64}", line) for line in _pins(name).values())


@pytest.mark.parametrize("name", _LOCKS)
def test_everything_asked_for_is_locked(name: str) -> None:
    asked = [line for line in (ROOT / f"{name}.in").read_text().splitlines() if line and not line.startswith(("#", "-"))]
    assert asked and {re.split(r"[=<>]", line)[0] for line in asked} <= set(_pins(name))


def test_no_pin_depends_on_the_python() -> None:
    """pip judges markers by the Python it runs on, and the image's libraries are installed by the machine's."""
    assert not [line for line in _pins("requirements").values() if "python_version" in line or "python_full_version" in line]


def test_the_development_lock_agrees_with_the_other() -> None:
    ours, theirs = _pins("requirements-dev"), _pins("requirements")
    assert {name: ours[name].split()[0] for name in ours.keys() & theirs} == {
        name: theirs[name].split()[0] for name in ours.keys() & theirs
    }
