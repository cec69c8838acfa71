"""Rules of form that ruff and mypy do not know, as pure functions from a file's text to its faults."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import PurePath

FILE_LINES = 800
FUNCTION_LINES = 60

# What makes a run unrepeatable; `lazur.kernel` hands it out as objects that a simulation can replace.
UNREPEATABLE = frozenset(
    f"{module}.{name}"
    for module, names in {
        "time": "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns sleep",
        "datetime": "datetime.now datetime.utcnow datetime.today date.today",
        "asyncio": "sleep",
        "anyio": "sleep sleep_until",
        "uuid": "uuid1 uuid4",
        "os": "urandom getrandom",
        "secrets": "token_bytes token_hex token_urlsafe choice randbelow randbits SystemRandom",
    }.items()
    for name in names.split()
)
# Split so that this file passes its own rule.
_WORKPLACE = re.compile(r"(?<![\w.}/)*-])/w(?:)ork(?![\w-])|\.\./sh(?:)ared/|/tmp/l(?:)z\b|\bthis sand(?:)box\b")
_UNFINISHED = re.compile(r"#.*\b(TO(?:)DO|FIX(?:)ME)\b")

Rule = Callable[[PurePath, str, ast.Module], Iterator[str]]


def size(path: PurePath, text: str, tree: ast.Module) -> Iterator[str]:
    """No file above `FILE_LINES`, no function above `FUNCTION_LINES`."""
    if (count := text.count("\n")) > FILE_LINES:
        yield f"{path}: {count} lines, at most {FILE_LINES}"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield f"{path}:{node.lineno}: {node.name} has {length} lines, at most {FUNCTION_LINES}"


def docstring(path: PurePath, text: str, tree: ast.Module) -> Iterator[str]:
    """Every module with anything in it opens by saying what it is for."""
    if tree.body and not ast.get_docstring(tree):
        yield f"{path}:1: no opening docstring"


def repeatable(path: PurePath, text: str, tree: ast.Module) -> Iterator[str]:
    """Time, randomness and ids come from `lazur.kernel`; it alone, and tests, may take them from the machine."""
    parts = path.parts
    if parts[:2] != ("src", "lazur") or parts[2] == "kernel" or "tests" in parts:
        return
    names = _imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            used = _dotted(node, names)
            if used in UNREPEATABLE or (used or "").startswith("random."):
                yield f"{path}:{node.lineno}: {used} outside lazur.kernel: take a Clock or Ids"


def unnamed(path: PurePath, text: str) -> Iterator[str]:
    """No file names the machine or folder somebody worked in, and none promises work for later."""
    for number, line in enumerate(text.splitlines(), 1):
        if found := _WORKPLACE.search(line):
            yield f"{path}:{number}: names a workplace: {found.group()}"
        if found := _UNFINISHED.search(line):
            yield f"{path}:{number}: {found.group(1)}: do it or leave it out"


def faults(path: PurePath, text: str) -> list[str]:
    """All faults of one file, `path` relative to the clone."""
    found = list(unnamed(path, text))
    if path.suffix == ".py":
        tree = ast.parse(text, str(path))
        rules: tuple[Rule, ...] = (size, docstring, repeatable)
        found += [fault for rule in rules for fault in rule(path, text, tree)]
    return found


def _imported(tree: ast.Module) -> dict[str, str]:
    """What each imported name of a module stands for, dotted."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return names


def _dotted(node: ast.expr, names: dict[str, str]) -> str | None:
    """The dotted name `node` stands for, or None if it does not begin with an imported name."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute) and (base := _dotted(node.value, names)):
        return f"{base}.{node.attr}"
    return None
