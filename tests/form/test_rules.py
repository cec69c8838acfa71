"""Each rule of the form check catches what it forbids, and lets the nearest permitted thing pass."""

from __future__ import annotations

from pathlib import PurePath

import pytest

from tests.form.rules import FILE_LINES, FUNCTION_LINES, faults

_MODULE = PurePath("src/lazur/api/routes.py")


def _function(lines: int) -> str:
    return '"""M."""\ndef f() -> None:\n' + "    pass\n" * (lines - 1)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('"""M."""\n' + "x = 1\n" * FILE_LINES, "lines"),
        (_function(FUNCTION_LINES + 1), "f has 61 lines"),
        ("x = 1\n", "no opening docstring"),
        ('"""M."""\nimport time\ntime.time()\n', "time.time"),
        ('"""M."""\nimport time as t\nt.monotonic()\n', "time.monotonic"),
        ('"""M."""\nfrom time import monotonic\nmonotonic()\n', "time.monotonic"),
        ('"""M."""\nimport datetime\ndatetime.datetime.now()\n', "datetime.datetime.now"),
        ('"""M."""\nfrom datetime import datetime\ndatetime.now()\n', "datetime.datetime.now"),
        ('"""M."""\nimport asyncio\nasync def f() -> None:\n    await asyncio.sleep(1)\n', "asyncio.sleep"),
        ('"""M."""\nimport random\nrandom.randint(1, 2)\n', "random.randint"),
        ('"""M."""\nfrom uuid import uuid4\nuuid4()\n', "uuid.uuid4"),
        ('"""M."""\nimport secrets\nsecrets.token_hex()\n', "secrets.token_hex"),
        ('"""M."""\n# TO' + "DO later\n", "do it or leave it out"),
        ('"""M."""\nPATH = "/w' + 'ork/main"\n', "names a workplace"),
        ('"""M."""\n# see ../sh' + "ared/notes\n", "names a workplace"),
    ],
)
def test_a_planted_fault_is_found_once(text: str, word: str) -> None:
    found = faults(_MODULE, text)
    assert len(found) == 1 and word in found[0], found


@pytest.mark.parametrize(
    "text",
    [
        "",
        _function(FUNCTION_LINES),
        '"""M."""\nimport uuid\nuuid.UUID(int=1)\n',
        '"""M."""\nfrom lazur.kernel.clock import Clock\nasync def f(clock: Clock) -> None:\n    await clock.sleep(1)\n',
        '"""M."""\nfrom datetime import datetime\ndatetime.fromisoformat("2026-01-01")\n',
        '"""M."""\nLAYER = f"{folder}/work"\n',
    ],
)
def test_what_is_permitted_passes(text: str) -> None:
    assert faults(_MODULE, text) == []


@pytest.mark.parametrize("path", ["src/lazur/kernel/clock.py", "tests/unit/test_x.py", "src/lazur/providers/a/tests/test_b.py"])
def test_the_kernel_and_tests_may_read_the_clock(path: str) -> None:
    assert faults(PurePath(path), '"""M."""\nimport time\ntime.time()\n') == []


def test_other_files_are_read_for_workplaces_only() -> None:
    assert faults(PurePath("docs/a.md"), "no docstring, time.time()\n") == []
    assert len(faults(PurePath("docs/a.md"), "cd /w" + "ork/main\n")) == 1
