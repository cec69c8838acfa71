"""The marked block in the operator's hosts file: one line per live name of the stamp. Must never touch a line outside it.

The file is rewritten in place, because it may be a bind mount, which cannot be replaced by a rename.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path

BEGIN = "# lazur begin: kept by `lazur up`, removed by `lazur down`"
END = "# lazur end"


class HostsFile:
    """The block within the hosts file `path`."""

    def __init__(self, path: Path = Path("/etc/hosts")) -> None:
        self._path = path

    def names(self) -> dict[str, str]:
        """The names in the block with their addresses; empty without a block."""
        inside = _split(self._path.read_text())[1] if self._path.exists() else []
        return {name: line.split()[0] for line in inside for name in line.split()[1:]}

    def keep(self, names: Mapping[str, str]) -> None:
        """Make the block say exactly `names` (name to address); no names, no block."""
        lines = [f"{address} {name}" for name, address in sorted(names.items())]
        with self._path.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            before = file.read()
            others, _ = _split(before)
            if others and not others[-1].endswith("\n"):
                others[-1] += "\n"
            block = [f"{line}\n" for line in (BEGIN, *lines, END)] if lines else []
            after = "".join(others + block)
            if after != before:
                self._write(after)

    def remove(self) -> None:
        """Take the block away; the other lines stay byte for byte, but for a newline the last one lacked."""
        if self._path.exists():
            self.keep({})

    def _write(self, text: str) -> None:
        descriptor = os.open(self._path, os.O_WRONLY)
        try:
            data = text.encode()
            # Shortened last: a reader between the two calls sees old lines twice rather than too few.
            os.pwrite(descriptor, data, 0)
            os.ftruncate(descriptor, len(data))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _split(text: str) -> tuple[list[str], list[str]]:
    """Lines outside the block (with their ends) and lines inside it; a block without its end takes no other line along."""
    outside: list[str] = []
    inside: list[str] = []
    lines = text.splitlines(keepends=True)
    ends = END in (line.strip() for line in lines)
    within = False
    for line in lines:
        if line.strip() == BEGIN:
            within = True
        elif within and line.strip() == END:
            within = False
        elif within and ends:
            inside.append(line.strip())
        else:
            outside.append(line)
    return outside, [line for line in inside if line and not line.startswith("#")]
