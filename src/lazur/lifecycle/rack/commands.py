"""Running the machine's tools. Must never go through a shell with words that came from a site file."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lazur.kernel.errors import Evidence, LazurError


def run(
    argv: Sequence[str | Path], *, stdin: str | None = None, check: bool = True, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run `argv` and return what it said; a failure is a `LazurError` `CommandFailed` with the tool's words.

    `timeout` is in seconds; a command that takes longer is killed. `check=False` returns failures as they are.
    """
    words = [str(word) for word in argv]
    # Without input of its own a tool must not wait for the operator's terminal.
    source: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    try:
        result = subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=False, **source)
    except FileNotFoundError as error:
        raise LazurError("ToolMissing", f"{words[0]} is not installed on this machine.", status=500) from error
    except subprocess.TimeoutExpired as error:
        raise LazurError("CommandFailed", f"`{' '.join(words)}` did not end within {timeout:g} s.", status=500) from error
    if check and result.returncode != 0:
        said = (result.stderr or result.stdout).strip().splitlines()[-20:]
        script = [] if stdin is None else [Evidence("Input", stdin.splitlines())]
        raise LazurError(
            "CommandFailed",
            f"`{' '.join(words)}` ended with {result.returncode}: {said[-1] if said else 'it said nothing'}",
            info=[Evidence("Output", said), *script],
            status=500,
        )
    return result
