"""Values against type definitions: parameters, outputs and arguments of the template's own functions.

Knows constraints, arrays and tuples, objects with declared and additional properties, discriminated unions, `$ref` and null.
A secret is never quoted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lazur.providers.resources.template.faults import ExpressionFault
from lazur.providers.resources.template.schema import SECURE, Template, resolved
from lazur.providers.resources.template.values import find, get, is_int, kind, same, text_of

_EXPECTED = {
    "string": "String, Uri", "securestring": "String, Uri", "int": "Integer", "bool": "Boolean", "object": "Object",
    "secureobject": "Object", "array": "Array",
}  # fmt: skip
_KINDS = {
    "string": "String", "securestring": "String", "int": "Integer", "bool": "Boolean", "object": "Object",
    "secureobject": "Object", "array": "Array",
}  # fmt: skip


def problems(value: Any, definition: Mapping[str, Any], template: Template, *, secret: bool = False) -> Iterator[str]:
    """Everything that is wrong with a value of a type definition; a secret is never quoted."""
    stack: list[tuple[Any, Mapping[str, Any], str]] = [(value, definition, "")]
    steps = 0
    while stack:
        item, raw, where = stack.pop()
        steps += 1
        if steps > 100_000:
            yield "It has too many elements to check"
            return
        try:
            wanted = resolved(raw, template.definitions)
        except ExpressionFault as e:
            yield e.message
            continue
        if item is None and get(wanted, "nullable") is True:
            continue
        wrong = _type_problem(item, wanted)
        prefix = f"At '{where}': " if where else ""
        if wrong:
            yield prefix + wrong
            continue
        hidden = secret or str(get(wanted, "type", "")).lower() in SECURE
        for problem in _bounds(item, wanted, hidden):
            yield prefix + problem
        try:
            stack.extend(_inner(item, wanted, where, template))
        except ExpressionFault as e:
            yield prefix + e.message


def _type_problem(value: Any, wanted: Mapping[str, Any]) -> str:
    name = str(get(wanted, "type", "")).lower()
    if name in _KINDS and kind(value) != _KINDS[name]:
        return f"Expected a value of type '{_EXPECTED[name]}', but received a value of type '{kind(value)}'"
    return ""


def _bounds(value: Any, wanted: Mapping[str, Any], secret: bool) -> Iterator[str]:
    allowed = get(wanted, "allowedValues")
    if isinstance(allowed, list) and not _allowed(value, allowed):
        shown = "" if secret else f", and '{text_of(value)[:200]}' is none of them"
        yield f"The parameter value is not part of the allowed value(s): '{','.join(map(text_of, allowed))}'{shown}"
    if isinstance(value, str | list):
        low, high = get(wanted, "minLength"), get(wanted, "maxLength")
        if is_int(low) and len(value) < low:
            yield f"Length of the value should be greater than or equal to '{low}'"
        if is_int(high) and len(value) > high:
            yield f"Length of the value should be less than or equal to '{high}'"
    if is_int(value):
        low, high = get(wanted, "minValue"), get(wanted, "maxValue")
        if is_int(low) and value < low:
            yield f"The value should be greater than or equal to '{low}'"
        if is_int(high) and value > high:
            yield f"The value should be less than or equal to '{high}'"


def _allowed(value: Any, allowed: list[Any]) -> bool:
    if isinstance(value, list):
        return any(same(value, option) for option in allowed) or all(_allowed(item, allowed) for item in value)
    if isinstance(value, str):
        return any(isinstance(option, str) and option.lower() == value.lower() for option in allowed)
    return any(same(value, option) for option in allowed)


def _inner(
    value: Any, wanted: Mapping[str, Any], where: str, template: Template
) -> Iterator[tuple[Any, Mapping[str, Any], str]]:
    """The parts of an array or object with the definitions of languageVersion 2.0 for them."""
    if isinstance(value, list):
        first = get(wanted, "prefixItems")
        first = first if isinstance(first, list) else []
        rest = get(wanted, "items")
        for i, item in enumerate(value):
            definition = first[i] if i < len(first) else rest
            if definition is False:
                raise ExpressionFault(f"It must not have more than {len(first)} elements")
            if isinstance(definition, dict):
                yield item, definition, f"{where}[{i}]"
        for i, definition in enumerate(first[len(value) :], len(value)):
            if get(resolved(definition, template.definitions), "nullable") is not True:
                raise ExpressionFault(f"The element '{i}' is missing")
    elif isinstance(value, dict):
        properties, additional = _properties(value, wanted, template)
        for name, definition in properties.items():
            found = find(value, name)
            if found is not None:
                yield value[found], definition, f"{where}.{name}".lstrip(".")
            elif get(resolved(definition, template.definitions), "nullable") is not True:
                raise ExpressionFault(f"The property '{name}' is missing")
        for name, item in value.items():
            if find(properties, name) is None:
                if additional is False:
                    raise ExpressionFault(f"The property '{name[:100]}' is not permitted")
                if isinstance(additional, dict):
                    yield item, additional, f"{where}.{name}".lstrip(".")


def _properties(
    value: Mapping[str, Any], wanted: Mapping[str, Any], template: Template
) -> tuple[dict[str, Mapping[str, Any]], Any]:
    """Definitions of an object's properties and of its additional ones."""
    chosen = wanted
    discriminator = get(wanted, "discriminator")
    if isinstance(discriminator, dict):
        name = str(get(discriminator, "propertyName", ""))
        mapping = get(discriminator, "mapping")
        option = get(mapping, str(get(value, name))) if isinstance(mapping, dict) else None
        if not isinstance(option, dict):
            raise ExpressionFault(f"The property '{name}' must say which of its types the object has")
        chosen = {**wanted, **resolved(option, template.definitions)}
    declared = get(chosen, "properties")
    pairs = declared.items() if isinstance(declared, dict) else ()
    out: dict[str, Mapping[str, Any]] = {name: item for name, item in pairs if isinstance(item, dict)}
    return out, get(chosen, "additionalProperties")
