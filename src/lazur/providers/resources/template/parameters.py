"""Parameter values: given ones checked, missing ones from their defaults, and what may be shown of them.

All faults of a request are reported at once. A value of a secure type never appears in a message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lazur.kernel.errors import LazurError
from lazur.providers.resources.template.evaluate import ENGINE, new_frame
from lazur.providers.resources.template.faults import ExpressionFault, invalid, joined, refuse
from lazur.providers.resources.template.frame import Phase
from lazur.providers.resources.template.schema import SECURE, SHOWN, Parameter, Template, resolved
from lazur.providers.resources.template.scope import Context, Scope
from lazur.providers.resources.template.values import find, get, is_int, kind, same, text_of

_FILE = "Please see https://aka.ms/arm-create-parameter-file for usage details."
_EXPECTED = {
    "string": "String, Uri", "securestring": "String, Uri", "int": "Integer", "bool": "Boolean", "object": "Object",
    "secureobject": "Object", "array": "Array",
}  # fmt: skip
_KINDS = {
    "string": "String", "securestring": "String", "int": "Integer", "bool": "Boolean", "object": "Object",
    "secureobject": "Object", "array": "Array",
}  # fmt: skip


def bind(template: Template, given: Mapping[str, Any], context: Context) -> Scope:
    """A scope with every parameter's value; `given` is `{"name": {"value": ...}}` as requests have it."""
    scope = Scope(context, template)
    faults: list[LazurError] = []
    _superfluous(template, given, faults)
    waiting: list[Parameter] = []
    for key, declared in template.parameters.items():
        try:
            value = _given(declared, get(given, declared.name), context)
        except ExpressionFault as e:
            faults.append(_invalid(template, declared, e.message))
            continue
        if value is None and declared.has_default:
            waiting.append(declared)
        elif value is None and not declared.nullable:
            faults.append(_missing(template, declared))
        else:
            scope.parameters[key] = value
    given_names = set(scope.parameters)
    _defaults(scope, waiting, faults)
    for key, value in scope.parameters.items():
        declared = template.parameters[key]
        if value is None and (declared.nullable or key not in given_names):
            continue
        for problem in problems(value, declared.definition, template, secret=declared.secure):
            faults.append(_invalid(template, declared, problem))
    refuse(faults)
    return scope


def parameters_echo(template: Template, scope: Scope) -> dict[str, Any]:
    """What a deployment shows of its parameters: type and value, secure ones without their value."""
    out: dict[str, Any] = {}
    for key, declared in template.parameters.items():
        shown: dict[str, Any] = {"type": SHOWN[declared.type]}
        if not declared.secure and key in scope.parameters:
            shown["value"] = scope.parameters[key]
        out[declared.name] = shown
    return out


def _superfluous(template: Template, given: Mapping[str, Any], faults: list[LazurError]) -> None:
    unknown = [name for name in given if name.lower() not in template.parameters]
    if unknown:
        known = joined([declared.name for declared in template.parameters.values()])
        faults.append(
            invalid(
                f"The template parameters '{joined(unknown)}' in the parameters file are not valid; they are not present "
                "in the original template and can therefore not be provided at deployment time. The only supported "
                f"parameters for this template are '{known}'. {_FILE}",
                "parameters",
            )
        )


def _missing(template: Template, declared: Parameter) -> LazurError:
    path = f"parameters.{declared.name}"
    line, column = template.locate(path)
    return invalid(
        f"The value for the template parameter '{declared.name}' at line '{line}' and column '{column}' is not provided. "
        f"{_FILE}",
        path,
        template.locate,
    )


def _invalid(template: Template, declared: Parameter, problem: str) -> LazurError:
    path = f"parameters.{declared.name}"
    line, column = template.locate(path)
    return invalid(
        f"The provided value for the template parameter '{declared.name}' at line '{line}' and column '{column}' is not "
        f"valid. {problem}. {_FILE}",
        path,
        template.locate,
    )


def _given(declared: Parameter, wrapped: Any, context: Context) -> Any:
    if wrapped is None:
        return None
    if not isinstance(wrapped, dict):
        raise ExpressionFault("It must be an object with a 'value' or a 'reference'")
    if find(wrapped, "value") is not None:
        return get(wrapped, "value")
    reference = get(wrapped, "reference")
    if reference is None:
        return None
    if context.secret is None or not isinstance(reference, dict):
        raise ExpressionFault("A reference to a key vault can't be followed here")
    if not declared.secure:
        raise ExpressionFault("Only a parameter of type 'secureString' or 'secureObject' can refer to a key vault")
    return context.secret(reference)


def _defaults(scope: Scope, waiting: list[Parameter], faults: list[LazurError]) -> None:
    frame = new_frame(scope, Phase.DEFAULT)
    for declared in waiting:
        if declared.name.lower() in scope.parameters:
            continue
        try:
            ENGINE.default(declared.name, frame)
        except ExpressionFault as e:
            path = e.target or f"parameters.{declared.name}.defaultValue"
            text = f"The default value of the template parameter '{declared.name}' is not valid: {e.message}"
            faults.append(invalid(text, path, scope.template.locate))


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
        shown = "" if secret else f" The value is '{text_of(value)[:200]}'."
        yield f"The parameter value is not part of the allowed value(s): '{','.join(map(text_of, allowed))}'.{shown}"
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
        rest = get(wanted, "items")
        for i, item in enumerate(value):
            definition = first[i] if isinstance(first, list) and i < len(first) else rest
            if isinstance(definition, dict):
                yield item, definition, f"{where}[{i}]"
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
