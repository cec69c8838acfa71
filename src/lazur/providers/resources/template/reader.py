"""Reads the body of a deployment request, which az does not send as JSON.

az puts the text of the template file into the body as it is: the key `template` unquoted, `//` and `/* */` comments, raw
newlines inside strings. Azure's own reader also accepts single quotes, bare keys and a trailing comma, so this one does.
Strict JSON takes the fast path. Of an exactly repeated key the last one wins; keys that differ only in case are both
kept, because expressions look at the exact spelling first.

Must never recurse: depth is bounded by `MAX_DEPTH` whatever the input.
"""

from __future__ import annotations

import json
import math
import re
from contextlib import suppress
from typing import Any, NoReturn

from lazur.kernel.errors import LazurError
from lazur.providers.resources.template.faults import MAX_BODY, MAX_DEPTH

_SPACE = re.compile(r"[ \t\r\n\f\v\u00a0\ufeff]+")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?(?![\w.])")
_WORD = re.compile(r"[A-Za-z_$][\w$-]*")
_QUOTED = {
    '"': re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL),
    "'": re.compile(r"'([^'\\]*(?:\\.[^'\\]*)*)'", re.DOTALL),
}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {'"': '"', "'": "'", "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_NOTED = 100_000
"""Places remembered for error messages at most, so that an error costs no more memory than the request."""
_VALUE, _KEY, _COLON, _COMMA, _END = range(5)


def read_body(raw: bytes) -> dict[str, Any]:
    """The object in `raw`; `InvalidRequestContent` with line and position when there is none."""
    if len(raw) > MAX_BODY:
        raise LazurError(
            "RequestContentTooLarge",
            f"The request content size exceeds the maximum size of {MAX_BODY} bytes.",
            status=413,
        )
    text = _decode(raw)
    try:
        value = json.loads(text, parse_constant=_no_constant)
        _check(value, text)
    except (ValueError, RecursionError):
        value = _Scanner(text).run()
        _check(value, text)
    if not isinstance(value, dict):
        raise _malformed("The body must be a JSON object", text, 0)
    return value


class Locator:
    """Finds the line and column of a value in the request, for error messages; reads the text only when asked.

    `base` is the path of the template in the body. Columns count as Azure's do: to the end of the first token.
    """

    def __init__(self, raw: bytes, base: str = "properties.template") -> None:
        self.size = len(raw)
        self._raw = raw
        self._base = base
        self._ends: dict[str, int] | None = None
        self._text = ""

    def __call__(self, path: str) -> tuple[int, int]:
        if self._ends is None:
            self._ends = {}
            with suppress(LazurError):
                self._text = _decode(self._raw)
                _Scanner(self._text, self._ends).run()
        where = f"{self._base}.{path}" if self._base and path else self._base or path
        end = self._ends.get(where.lower())
        return (0, 0) if end is None else _line_and_column(self._text, end)


def _decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise LazurError(
            "InvalidRequestContent", f"The request content is not valid UTF-8 at byte {e.start}."
        ) from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _line_and_column(text: str, at: int) -> tuple[int, int]:
    return text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1)


def _malformed(what: str, text: str, at: int) -> LazurError:
    line, position = _line_and_column(text, at)
    return LazurError(
        "InvalidRequestContent",
        "The request content was invalid and could not be deserialized: "
        f"'{what}. Line {line}, position {position}.'.",
    )


def _check(value: Any, text: str) -> None:
    """Bound depth, refuse numbers without a value and characters that no answer could be encoded with."""
    level = [value]
    depth = 0
    while level:
        depth += 1
        if depth > MAX_DEPTH + 1:
            raise _malformed(f"The content is nested deeper than {MAX_DEPTH} levels", text, 0)
        deeper: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                deeper.extend(item.values())
                for key in item:
                    _encodable(key, text)
            elif isinstance(item, list):
                deeper.extend(item)
            elif isinstance(item, str):
                _encodable(item, text)
            elif isinstance(item, float) and not math.isfinite(item):
                raise _malformed("A number is too large", text, 0)
        level = deeper


def _encodable(item: str, text: str) -> None:
    if not item.isascii():
        try:
            item.encode()
        except UnicodeEncodeError:
            raise _malformed("A string holds half of a surrogate pair", text, 0) from None


class _Scanner:
    """One pass over the text with an explicit stack; notes in `ends`, when given, where each value's first token ends."""

    def __init__(self, text: str, ends: dict[str, int] | None = None) -> None:
        self.text = text
        self.at = 0
        self._ends = ends
        self._root: list[Any] = []
        self._stack: list[Any] = [self._root]
        self._labels: list[str] = [""]
        """Beside the stack: how each container is reached from the one around it, as a piece of a path."""
        self._key: str | None = None

    def run(self) -> Any:
        """The value of the text; raises `InvalidRequestContent`."""
        state = _VALUE
        while True:
            self._skip()
            if self.at >= len(self.text):
                if state == _END:
                    return self._root[0]
                self._fail("Unexpected end of content")
            if state == _END:
                self._fail("Unexpected content after the end of the body")
            if state == _KEY:
                state = self._read_key()
            elif state == _COLON:
                if self.text[self.at] != ":":
                    self._fail("Expected ':' after a property name")
                self.at += 1
                state = _VALUE
            elif state == _COMMA:
                state = self._read_comma()
            else:
                state = self._read_value()

    def _fail(self, what: str, at: int | None = None) -> NoReturn:
        path = "".join(self._labels).lstrip(".")
        where = f". Path '{path[:500]}'" if path else ""
        raise _malformed(what + where, self.text, self.at if at is None else at)

    def _skip(self) -> None:
        text = self.text
        while self.at < len(text):
            if space := _SPACE.match(text, self.at):
                self.at = space.end()
            elif text.startswith("//", self.at):
                end = text.find("\n", self.at)
                self.at = len(text) if end < 0 else end
            elif text.startswith("/*", self.at):
                end = text.find("*/", self.at + 2)
                if end < 0:
                    self._fail("A comment is not closed")
                self.at = end + 2
            else:
                return

    def _read_key(self) -> int:
        char = self.text[self.at]
        if char == "}":
            return self._close(char)
        if char in _QUOTED:
            self._key = self._quoted(char)
        elif word := _WORD.match(self.text, self.at):
            self._key = word.group()
            self.at = word.end()
        else:
            self._fail(f"Invalid property name character: {char!a}")
        return _COLON

    def _read_comma(self) -> int:
        char = self.text[self.at]
        if char == ",":
            self.at += 1
            return _KEY if isinstance(self._stack[-1], dict) else _VALUE
        if char not in "]}":
            self._fail(f"Expected ',' or a closing bracket, found {char!a}")
        return self._close(char)

    def _read_value(self) -> int:
        char = self.text[self.at]
        if char in "{[":
            return self._open(char)
        if char == "]":
            return self._close(char)
        if char in _QUOTED:
            self._put(self._quoted(char))
        elif number := _NUMBER.match(self.text, self.at):
            self.at = number.end()
            self._put(self._number(number))
        elif (word := _WORD.match(self.text, self.at)) and word.group() in _CONSTANTS:
            self.at = word.end()
            self._put(_CONSTANTS[word.group()])
        else:
            self._fail(f"Unexpected character encountered while parsing value: {char!a}")
        return self._after()

    def _open(self, char: str) -> int:
        if len(self._stack) > MAX_DEPTH:
            self._fail(f"The content is nested deeper than {MAX_DEPTH} levels")
        self.at += 1
        value: Any = {} if char == "{" else []
        self._labels.append(self._put(value))
        self._stack.append(value)
        return _KEY if char == "{" else _VALUE

    def _close(self, char: str) -> int:
        container = self._stack[-1]
        if len(self._stack) == 1 or isinstance(container, dict) != (char == "}") or self._key is not None:
            self._fail(f"Unexpected {char!a}")
        self._stack.pop()
        self._labels.pop()
        self.at += 1
        return self._after()

    def _after(self) -> int:
        return _END if len(self._stack) == 1 else _COMMA

    def _put(self, value: Any) -> str:
        """Add a value to the container it stands in; the piece of a path that leads to it."""
        container = self._stack[-1]
        label = ""
        if isinstance(container, dict):
            label = f".{self._key}"
            container[self._key or ""] = value
            self._key = None
        else:
            if container is not self._root:
                label = f"[{len(container)}]"
            container.append(value)
        if self._ends is not None and len(self._ends) < _NOTED:
            self._ends["".join((*self._labels, label)).lstrip(".").lower()] = self.at
        return label

    def _number(self, match: re.Match[str]) -> int | float:
        if match.group(1) or match.group(2):
            return float(match.group())
        try:
            return int(match.group())
        except ValueError:
            self._fail("A number has too many digits", match.start())

    def _quoted(self, quote: str) -> str:
        match = _QUOTED[quote].match(self.text, self.at)
        if match is None:
            self._fail("A string is not closed")
        self.at = match.end()
        body = match.group(1)
        if "\\" not in body:
            return body

        def plain(escape: re.Match[str]) -> str:
            code = escape.group(1)
            if len(code) == 5:
                return chr(int(code[1:], 16))
            if code not in _ESCAPES:
                self._fail(f"Bad escape sequence in a string: {escape.group()!a}", match.start(1) + escape.start())
            return _ESCAPES[code]

        decoded = _ESCAPE.sub(plain, body)
        return decoded.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
