"""Run the whole form check: this folder's rules, ruff, mypy --strict and the import contracts. Ends with 1 on any fault."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.form.rules import faults

ROOT = Path(__file__).resolve().parents[2]
_IMPORTS = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"


def own_text() -> list[Path]:
    """Every text file of the project, relative to the clone; locks and binary files have no form to check."""
    paths = []
    for folder, below, names in os.walk(ROOT):
        # Hidden folders are caches and version control, but for the build machine's.
        below[:] = [name for name in below if name == ".ci" or (name[0] not in "._" and name != "build")]
        paths += [Path(folder, name) for name in names if not name.endswith((".lock", ".pyc"))]
    return [path.relative_to(ROOT) for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:8192]]


def own_rules() -> list[str]:
    """The faults of all files by this folder's rules."""
    return [fault for path in own_text() for fault in faults(path, (ROOT / path).read_text(errors="replace"))]


def main() -> int:
    """Run everything, the slow checks beside each other, and print one verdict for each."""
    tools = {
        "mypy --strict": ["-m", "mypy", "--cache-dir", _cache("mypy")],
        "ruff": ["-m", "ruff", "check", "--quiet", "--output-format=concise", "--cache-dir", _cache("ruff"), "."],
        "imports": ["-c", _IMPORTS],
    }
    running = {
        name: subprocess.Popen(
            [sys.executable, *argv], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for name, argv in tools.items()
    }
    verdicts = [_verdict("own rules", "\n".join(own_rules()))]
    for name, process in running.items():
        output, _ = process.communicate()
        verdicts.append(_verdict(name, output if process.returncode else ""))
    return 0 if all(verdicts) else 1


def _cache(tool: str) -> str:
    root = os.environ.get("LAZUR_CACHE")
    return f"{root}/{tool}" if root else f".{tool}_cache"


def _verdict(name: str, problems: str) -> bool:
    print(f"form: {name}: {'FAILED' if problems else 'ok'}", flush=True)
    if problems:
        print(problems.strip(), flush=True)
    return not problems


if __name__ == "__main__":
    sys.exit(main())
