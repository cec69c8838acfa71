"""Running the build tools of other people. Must never swallow what they said when they fail."""

from __future__ import annotations

import os
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lazur.kernel.errors import Evidence, LazurError

Report = Callable[[str], None]
"""Hears, in one line for a person, what a long step is doing."""


def run_tool(
    argv: Sequence[str], report: Report = lambda _: None, *, environment: Mapping[str, str | None] | None = None
) -> None:
    """Run `argv` to its end; lines it marks as information or error (`I: `, `E: `) go to `report`.

    `environment` adds variables, or removes those set to None. Raises `LazurError` with the last lines as evidence.
    """
    variables: dict[str, str | None] = {**os.environ, **(environment or {})}
    tail: deque[str] = deque(maxlen=40)
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={name: value for name, value in variables.items() if value is not None},
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                tail.append(line.rstrip())
                if line.startswith(("I: ", "E: ")):
                    report(line[3:].rstrip())
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        tool = Path(argv[0]).name
        raise LazurError(
            "ToolFailed",
            f"{tool} ended with {process.returncode}: {tail[-1] if tail else 'it said nothing'}",
            info=[Evidence("Command", " ".join(argv)), Evidence("LogTail", list(tail))],
            status=500,
            retryable=True,
        )
