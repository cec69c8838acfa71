"""A coverage-guided fuzzer of the reader and the evaluator: `python -m tests.template.fuzz SECONDS [SEED]`.

Starts from the whole templates of `files`, changes their text and their trees, and keeps what reaches lines of the language
that nothing before reached. Whatever it is given, the language must answer with a value or a `LazurError` that tells no secret.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import lazur.providers.resources.template as language
from lazur.kernel.errors import LazurError
from lazur.providers.resources.export import Document, exported
from lazur.providers.resources.template import (
    Context,
    NestedDeployment,
    Unanswerable,
    evaluate_body,
    expand,
    outputs,
    parameters_echo,
    parse_template,
    read_body,
    steps,
)
from lazur.providers.resources.template.functions.registry import FUNCTIONS
from lazur.providers.resources.whatif import delta
from tests.template.cloud import RG, context

SECRET = "canary-of-a-secret"
_FOLDER = str(Path(language.__file__).parent)
_FILES = Path(__file__).parent / "files"
_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 2**31, 2**63, 10**400, 1.5, 1e308, "", "[", "[[", "[]", "]", "a" * 300, "[parameters('secret')]",
    "[copyIndex()]", "[variables('x')]", "[deployment()]", "[resourceGroup()]", "[reference('x')]", "é\u2028\U0001f600",
    [], {}, [[]],
)  # fmt: skip
_PIECES = (
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"'", b"\\", b"\\u12", b"//", b"/*", b"*/", b"\n", b"\xef\xbb\xbf", b"\xff",
    b"1e999", b"-", b"null", b"\\ud800", b"{" * 200, b"[" * 200, b"'" * 3, b"(" * 150,
)  # fmt: skip


class Nothing:
    """A world in which nothing is there yet."""

    def reference(self, id: str, api_version: str | None, full: bool) -> dict[str, Any]:
        raise Unanswerable(id)

    def list(self, action: str, id: str, api_version: str | None, body: Any) -> dict[str, Any]:
        raise Unanswerable(id)

    @property
    def lookup(self) -> Nothing:
        return self

    def context(self, nested: NestedDeployment, around: Context) -> Context:
        return around

    def linked(self, nested: NestedDeployment, around: Context) -> None:
        return None


def seeds() -> list[bytes]:
    """Requests with every file's template and parameters."""
    found = []
    for path in sorted(_FILES.glob("*.expected.json")):
        given = {k: {"value": v} for k, v in json.loads(path.read_text()).get("parameters", {}).items()}
        text = path.with_name(path.name.replace(".expected", "")).read_text()
        found.append(f'{{"parameters": {json.dumps(given)}, template: {text}}}'.encode())
    return found


def tried(raw: bytes) -> str:
    """What the language makes of a request: the code of its refusal, or nothing."""
    try:
        _through(raw)
    except LazurError as error:
        told = json.dumps(error.body())
        assert SECRET not in told, told
        return error.code
    return ""


def _through(raw: bytes) -> None:
    body = read_body(raw)
    template = parse_template(body.get("template"))
    given = body.get("parameters")
    secure = [p for p in template.parameters.values() if p.secure]
    values = {p.name: {"value": SECRET if p.type == "securestring" else {"k": SECRET}} for p in secure}
    made = expand(template, {**(given if isinstance(given, dict) else {}), **values}, context())
    assert SECRET not in json.dumps(parameters_echo(made.template, made.scope))
    world = Nothing()
    found = steps(made, world)
    for fault in found.faults:
        assert SECRET not in json.dumps(fault.body())
    documents = [Document(s.node.id, "1", s.body) for s in found.resources if s.node.id.startswith(f"{RG}/providers/")]
    json.dumps(exported(RG, documents[:20], frozenset()))
    for one, other in zip(found.resources, found.resources[1:], strict=False):
        json.dumps(delta(one.body, other.body))
    for node in made.nodes[:5]:
        try:
            json.dumps(evaluate_body(node, made.scope, world))
        except Unanswerable:
            continue
    try:
        outputs(made.template, made.scope, world)
    except Unanswerable:
        return


class Fuzzer:
    """Inputs worth keeping, and the lines they reached."""

    def __init__(self, seed: int, corpus: list[bytes]) -> None:
        self.random = random.Random(seed)
        self.corpus: list[bytes] = []
        self.lines: set[tuple[str, int]] = set()
        self.runs = 0
        for raw in corpus:
            self.run(raw)

    def run(self, raw: bytes) -> bool:
        """Try one input; whether it reached anything new. What the language must not do goes on to the caller."""
        self.runs += 1
        reached: set[tuple[str, int]] = set()

        def enter(frame: FrameType, event: str, arg: Any) -> Any:
            name = frame.f_code.co_filename
            if not name.startswith(_FOLDER):
                return None

            def line(frame: FrameType, event: str, arg: Any) -> Any:
                reached.add((name, frame.f_lineno))
                return line

            return line

        before = sys.gettrace()
        sys.settrace(enter)
        try:
            tried(raw)
        finally:
            sys.settrace(before)
        new = not reached <= self.lines
        self.lines |= reached
        if new:
            self.corpus.append(raw)
        return new

    def next(self) -> bytes:
        """A changed copy of something kept, the newest most often."""
        base = self.corpus[min(int(self.random.expovariate(0.05)), len(self.corpus) - 1) * -1 - 1]
        if self.random.random() < 0.3:
            return self._text(base)
        try:
            tree = read_body(base)
        except LazurError:
            return self._text(base)
        for _ in range(self.random.randint(1, 4)):
            self._change(tree)
        try:
            return json.dumps(tree).encode()
        except (RecursionError, ValueError):
            return base

    def _text(self, base: bytes) -> bytes:
        raw = bytearray(base)
        for _ in range(self.random.randint(1, 5)):
            at = self.random.randrange(len(raw) + 1)
            end = min(len(raw), at + self.random.choice((0, 0, 1, 7, 60)))
            raw[at:end] = self.random.choice((*_PIECES, bytes([self.random.randrange(256)]), bytes(raw[at : at + 40])))
        return bytes(raw)

    def _change(self, tree: Any) -> None:
        others = list(_places(tree))
        if not others:
            return
        holder, key = self.random.choice(others)
        choice = self.random.random()
        if choice < 0.15 and isinstance(holder, dict):
            holder.pop(key, None)
        elif choice < 0.3:
            holder[key] = self.random.choice(_VALUES)
        elif choice < 0.5:
            other, at = self.random.choice(others)
            holder[key] = json.loads(json.dumps(other[at]))
        elif choice < 0.6 and isinstance(holder, dict):
            holder[self.random.choice((str(key).upper(), "copy", "scope", "$ref", "[x]", "condition"))] = holder[key]
        else:
            holder[key] = f"[{self._expression(3)}]"

    def _expression(self, depth: int) -> str:
        kind = self.random.random()
        if depth == 0 or kind < 0.25:
            return self.random.choice(
                ("'x'", "1", "-1", "''", "null()", "true()", "parameters('secret')", "variables('v')", "createArray(1,2)",
                 "'P1D'", "createObject('a',1)", "copyIndex()", "'10.0.0.0/8'", "'2020-01-01'", "'{0:D9}'",
                 "lambda('a',lambdaVariables('a'))"),
            )  # fmt: skip
        function = self.random.choice(sorted(FUNCTIONS.values(), key=lambda f: f.name))
        most = function.most if function.most is not None else function.least + 2
        count = self.random.randint(function.least, most) if self.random.random() < 0.9 else most + 1
        name = "listKeys" if function.name == "list*" else function.name
        text = f"{name}({','.join(self._expression(depth - 1) for _ in range(count))})"
        return text + self.random.choice(("", "", "", ".a", "[0]", "['a'].b"))


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every value of a tree by what holds it and where."""
    stack = [tree]
    while stack:
        holder = stack.pop()
        for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
            yield holder, key
            if isinstance(holder[key], dict | list):
                stack.append(holder[key])


def main(seconds: float, seed: int) -> int:
    """Fuzz for a while; the offending input is written to standard output."""
    fuzzer = Fuzzer(seed, seeds())
    known, end = len(fuzzer.lines), time.monotonic() + seconds
    while time.monotonic() < end:
        raw = fuzzer.next()
        begun = time.process_time()
        try:
            fuzzer.run(raw)
        except Exception:
            sys.stdout.buffer.write(raw + b"\n")
            raise
        if (took := time.process_time() - begun) > 20:
            sys.stderr.write(f"{took:.0f} s for an input of {len(raw)} bytes: {raw[:2000]!r}\n")
    kept = len(fuzzer.corpus)
    sys.stderr.write(f"{fuzzer.runs} inputs, {kept} kept, {len(fuzzer.lines)} lines reached ({known} by the files)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1))
