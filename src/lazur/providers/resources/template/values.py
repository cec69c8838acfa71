"""JSON values as ARM's expressions see them: names of types, equality, text and the rules of .NET behind them.

Values are `None, bool, int, float, str, list, dict`. A value is never changed once made: functions build new ones, so
values may be shared.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from lazur.providers.resources.template.faults import MAX_DEPTH, MAX_STEPS, ExpressionFault


class TakesLong(Exception):
    """An evaluation takes longer than it may where it is made; nothing is wrong with it."""


class Budget:
    """Steps that working out one deployment may still take; what it counts bounds both time and memory."""

    __slots__ = ("_pause", "left")

    def __init__(self, steps: int | None = None) -> None:
        self.left = MAX_STEPS if steps is None else steps
        self._pause = 0

    def brief(self, steps: int | None) -> None:
        """Allow only so many of the steps for now, and raise `TakesLong` after them; None allows all there are."""
        self._pause = 0 if steps is None else max(0, self.left - steps)

    def charge(self, steps: int) -> None:
        """Take `steps` away; a fault when none are left."""
        self.left -= steps
        if self.left < 0:
            raise ExpressionFault("The template needs too many steps to evaluate: its expressions produce too much")
        if self.left < self._pause:
            raise TakesLong

    def weigh(self, value: Any) -> None:
        """Charge for every element of `value`, those it shares with itself as often as they occur; bound its depth."""
        level = [value]
        depth = 0
        while level:
            depth += 1
            if depth > MAX_DEPTH:
                raise ExpressionFault(f"A value is nested deeper than {MAX_DEPTH} levels")
            deeper: list[Any] = []
            for item in level:
                if isinstance(item, str):
                    self.charge(1 + len(item) // 32)
                elif isinstance(item, list):
                    self.charge(1 + len(item))
                    deeper.extend(item)
                elif isinstance(item, dict):
                    self.charge(1 + len(item))
                    deeper.extend(item.values())
            level = deeper


def kind(value: Any) -> str:
    """The name of a value's type as Azure's messages give it."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return "Boolean"
    if isinstance(value, int):
        return "Integer"
    if isinstance(value, float):
        return "Float"
    if isinstance(value, str):
        return "String"
    return "Array" if isinstance(value, list) else "Object"


def is_int(value: Any) -> bool:
    """Whether `value` is a whole number (true and false are none)."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether `value` is a whole number or a float."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def find(mapping: Mapping[str, Any], key: str) -> str | None:
    """The key of `mapping` that `key` means: the exact one first, else one that differs in case only."""
    if key in mapping:
        return key
    lowered = key.lower()
    for candidate in mapping:
        if candidate.lower() == lowered:
            return candidate
    return None


def get(mapping: Mapping[str, Any], key: str, default: Any = None) -> Any:
    """The value of a property whose name's case does not matter."""
    found = find(mapping, key)
    return default if found is None else mapping[found]


def same(one: Any, other: Any) -> bool:
    """Deep equality: types must agree, text compares with case, the order of properties does not count."""
    stack = [(one, other)]
    while stack:
        a, b = stack.pop()
        if kind(a) != kind(b):
            return False
        if isinstance(a, list):
            if len(a) != len(b):
                return False
            stack.extend(zip(a, b, strict=True))
        elif isinstance(a, dict):
            if a.keys() != b.keys():
                return False
            stack.extend((a[key], b[key]) for key in a)
        elif a != b:
            return False
    return True


def float_text(value: float) -> str:
    """A float as .NET writes it: the shortest text that reads back, with an exponent from 1E+15 and below 1E-04."""
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    body = "".join(map(str, digits))
    point = len(body) + exponent
    minus = "-" if sign and body != "0" else ""
    if body == "0":
        return "-0" if sign else "0"
    if point > 15 or point < -3:
        fraction = f".{body[1:]}" if len(body) > 1 else ""
        return f"{minus}{body[0]}{fraction}E{'+' if point > 0 else '-'}{abs(point - 1):02d}"
    if point <= 0:
        return f"{minus}0.{'0' * -point}{body}"
    if point >= len(body):
        return minus + body + "0" * (point - len(body))
    return f"{minus}{body[:point]}.{body[point:]}"


def to_json(value: Any) -> str:
    """Compact JSON with text as it is, not escaped to ASCII."""
    if isinstance(value, float):
        text = float_text(value)
        return text if "." in text or "E" in text else text + ".0"
    if isinstance(value, dict):
        return "{" + ",".join(f"{to_json(key)}:{to_json(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(to_json, value)) + "]"
    text = json.dumps(value, ensure_ascii=False)
    return text.replace("\u0085", "\\u0085").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def text_of(value: Any) -> str:
    """A value inside other text: `True`, `12`, nothing for null, compact JSON for objects and arrays."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, int):
        return str(value)
    return float_text(value) if isinstance(value, float) else to_json(value)


def merged(one: Mapping[str, Any], other: Mapping[str, Any], *, deep: bool) -> dict[str, Any]:
    """`one` with the properties of `other`; a name that differs in case only is the same and keeps its first spelling.

    With `deep` objects merge into objects; everything else, arrays too, is replaced.
    """
    out = dict(one)
    spelled = {name.lower(): name for name in out}
    for name, value in other.items():
        key = spelled.setdefault(name.lower(), name)
        old = out.get(key)
        both = deep and isinstance(old, dict) and isinstance(value, dict)
        out[key] = merged(old, value, deep=True) if both and old is not None else value
    return out
