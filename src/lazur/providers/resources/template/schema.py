"""The form of a template: what it may declare, checked in one pass that reports every fault with its path.

Nothing is evaluated here, but every expression is parsed, so that a bad one is found before anything is deployed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from lazur.kernel.errors import LazurError
from lazur.providers.resources.template.faults import (
    MAX_OUTPUTS,
    MAX_PARAMETERS,
    MAX_RESOURCES,
    MAX_VARIABLES,
    ExpressionFault,
    Locate,
    invalid,
    nowhere,
    refuse,
)
from lazur.providers.resources.template.functions import is_function
from lazur.providers.resources.template.parser import Call, is_expression, parse, walk
from lazur.providers.resources.template.values import find, get, is_int, kind

MEMBERS_OF_RESOURCES = (
    "type", "name", "apiVersion", "condition", "copy", "dependsOn", "resources", "scope", "existing", "comments",
    "metadata", "resourceGroup", "subscriptionId", "asserts", "@options",
)  # fmt: skip
_NOT_CONTENT = frozenset(name.lower() for name in MEMBERS_OF_RESOURCES)
TYPES = ("string", "securestring", "int", "bool", "object", "secureobject", "array")
SECURE = ("securestring", "secureobject")
SHOWN = {
    "string": "String", "securestring": "SecureString", "int": "Int", "bool": "Bool", "object": "Object",
    "secureobject": "SecureObject", "array": "Array",
}  # fmt: skip
"""How Azure spells the types of parameters and outputs in its answers."""
_MEMBERS = {
    "$schema", "contentversion", "apiprofile", "languageversion", "definitions", "metadata", "parameters", "variables",
    "functions", "resources", "outputs", "imports", "extensions", "asserts", "rules",
}  # fmt: skip
_SYNTAX = "Please see https://aka.ms/arm-syntax for usage details"


@dataclass(frozen=True)
class Parameter:
    """One declared parameter; `definition` has every `$ref` of its top level followed."""

    name: str
    type: str
    definition: Mapping[str, Any]

    @property
    def secure(self) -> bool:
        """Whether its value must never be shown."""
        return self.type in SECURE

    @property
    def nullable(self) -> bool:
        """Whether it may be left out, or be null."""
        return get(self.definition, "nullable") is True

    @property
    def has_default(self) -> bool:
        """Whether it has a default value."""
        return find(self.definition, "defaultValue") is not None


@dataclass(frozen=True)
class Variable:
    """One variable: a value with expressions, or a loop that makes an array."""

    name: str
    value: Any
    is_copy: bool = False


@dataclass(frozen=True)
class UserFunction:
    """A function the template declares; `value` is its output."""

    name: str
    parameters: tuple[str, ...]
    value: Any
    types: tuple[Mapping[str, Any], ...] = ()
    """The type of each parameter."""
    returns: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Declared:
    """One resource as written; `symbol` is its symbolic name, empty in the older form."""

    symbol: str
    body: Mapping[str, Any]
    path: str

    @cached_property
    def members(self) -> Mapping[str, Any]:
        """The body by lower-case names; of two that differ in case only the one spelled as documented, else the first."""
        found: dict[str, Any] = {}
        for name, value in self.body.items():
            if name in MEMBERS_OF_RESOURCES or name.lower() not in found:
                found[name.lower()] = value
        return found

    @cached_property
    def content(self) -> Mapping[str, Any]:
        """What is sent to the resource's provider: the body without what belongs to the template alone."""
        return {name: value for name, value in self.body.items() if name.lower() not in _NOT_CONTENT}


@dataclass(frozen=True)
class Output:
    """One output as written."""

    name: str
    type: str
    definition: Mapping[str, Any]


@dataclass(frozen=True)
class Template:
    """A template whose form is right; names of parameters, variables and functions are keys in lower case."""

    raw: Mapping[str, Any]
    symbolic: bool = False
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    variables: Mapping[str, Variable] = field(default_factory=dict)
    functions: Mapping[str, UserFunction] = field(default_factory=dict)
    resources: tuple[Declared, ...] = ()
    outputs: Mapping[str, Output] = field(default_factory=dict)
    definitions: Mapping[str, Any] = field(default_factory=dict)
    locate: Locate = nowhere


def parse_template(raw: Any, *, locate: Locate = nowhere) -> Template:
    """The template in `raw`; `InvalidTemplate` with all faults at once when its form is wrong.

    `locate` gives the line and column of a path for the errors (see `reader.Locator`).
    """
    if not isinstance(raw, dict):
        raise invalid(f"The template must be an object, not '{kind(raw)}'", "", locate)
    return _Checker(raw, locate).run()


def resolved(definition: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """A type definition with its `$ref`, if it has one, followed; properties beside the `$ref` win."""
    seen: set[str] = set()
    out = dict(definition)
    while (reference := get(out, "$ref")) is not None:
        name = str(reference).removeprefix("#/definitions/")
        target = get(definitions, name)
        if name in seen or not isinstance(target, dict):
            raise ExpressionFault(f"The type definition '{str(reference)[:100]}' is not found or refers to itself")
        seen.add(name)
        out = {**target, **{key: value for key, value in out.items() if key.lower() != "$ref"}}
    return out


class _Checker:
    def __init__(self, raw: Mapping[str, Any], locate: Locate) -> None:
        self.raw = raw
        self.locate = locate
        self.faults: list[LazurError] = []

    def fault(self, message: str, path: str = "") -> None:
        if len(self.faults) < 100:
            self.faults.append(invalid(message, path, self.locate))

    def run(self) -> Template:
        self.members()
        version = str(get(self.raw, "languageVersion", "1.0")).lower()
        symbolic = version.startswith("2.") or version in ("1.9-experimental", "1.10-experimental")
        definitions = self.section("definitions")
        parameters = self.parameters(definitions)
        variables = self.variables()
        functions = self.functions()
        resources = self.resources(symbolic)
        outputs = self.outputs(definitions)
        for name in ("parameters", "variables", "functions", "resources", "outputs"):
            self.expressions(get(self.raw, name), name)
        refuse(self.faults)
        return Template(
            self.raw, symbolic, parameters, variables, functions, tuple(resources), outputs, definitions, self.locate
        )

    def members(self) -> None:
        for name in self.raw:
            if name.lower() not in _MEMBERS:
                self.fault(f"Could not find member '{name[:100]}' on object of type 'Template'. {_SYNTAX}", name)
        for name in ("$schema", "contentVersion"):
            if not isinstance(get(self.raw, name), str):
                self.fault(f"Required property '{name}' not found in JSON or no string. {_SYNTAX}", name)
        if find(self.raw, "resources") is None:
            self.fault(f"Required property 'resources' not found in JSON. {_SYNTAX}", "resources")
        for name in ("imports", "extensions"):
            if get(self.raw, name):
                self.fault(f"The section '{name}' is not supported: only resources of this cloud can be deployed", name)

    def section(self, name: str) -> dict[str, Any]:
        value = get(self.raw, name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.fault(f"The section '{name}' must be an object, not '{kind(value)}'. {_SYNTAX}", name)
            return {}
        seen: set[str] = set()
        for key in value:
            if key.lower() in seen:
                self.fault(f"The section '{name}' declares '{key[:100]}' more than once", f"{name}.{key}")
            seen.add(key.lower())
        return value

    def limit(self, name: str, count: int, most: int) -> None:
        if count > most:
            self.fault(
                f"The number of template {name} limit exceeded. Limit: '{most}' and actual: '{count}'. {_SYNTAX}", name
            )

    def typed(self, name: str, value: Any, definitions: Mapping[str, Any], path: str) -> Mapping[str, Any] | None:
        """A parameter's or output's definition with its type checked."""
        if not isinstance(value, dict):
            self.fault(f"'{name}' must be an object, not '{kind(value)}'. {_SYNTAX}", path)
            return None
        try:
            definition = resolved(value, definitions)
        except ExpressionFault as e:
            self.fault(e.message, path)
            return None
        given = get(definition, "type")
        if not isinstance(given, str) or given.lower() not in TYPES:
            self.fault(
                f"The type of '{name}' is not valid: it must be one of '{', '.join(SHOWN.values())}'. {_SYNTAX}",
                f"{path}.type",
            )
            return None
        return definition

    def parameters(self, definitions: Mapping[str, Any]) -> dict[str, Parameter]:
        declared = self.section("parameters")
        self.limit("parameters", len(declared), MAX_PARAMETERS)
        out: dict[str, Parameter] = {}
        for name, value in declared.items():
            path = f"parameters.{name}"
            definition = self.typed(name, value, definitions, path)
            if definition is None:
                continue
            allowed = get(definition, "allowedValues")
            if allowed is not None and (not isinstance(allowed, list) or not allowed):
                self.fault(f"The allowed values of '{name}' must be an array of at least one", f"{path}.allowedValues")
            for bound in ("minLength", "maxLength", "minValue", "maxValue"):
                if get(definition, bound) is not None and not is_int(get(definition, bound)):
                    self.fault(f"The property '{bound}' of '{name}' must be an integer", f"{path}.{bound}")
            out[name.lower()] = Parameter(name, str(get(definition, "type")).lower(), definition)
        return out

    def variables(self) -> dict[str, Variable]:
        declared = self.section("variables")
        out: dict[str, Variable] = {}
        for name, value in declared.items():
            if name.lower() == "copy":
                self.variable_loops(value, out)
            else:
                out[name.lower()] = Variable(name, value)
        self.limit("variables", len(out), MAX_VARIABLES)
        return out

    def variable_loops(self, loops: Any, out: dict[str, Variable]) -> None:
        if not isinstance(loops, list):
            self.fault(f"The section 'variables.copy' must be an array, not '{kind(loops)}'", "variables.copy")
            return
        for i, loop in enumerate(loops):
            path = f"variables.copy[{i}]"
            if self.loop(loop, path, named=True) and isinstance(loop, dict):
                name = str(get(loop, "name"))
                if name.lower() in out:
                    self.fault(f"The section 'variables' declares '{name}' more than once", path)
                out[name.lower()] = Variable(name, loop, is_copy=True)

    def loop(self, loop: Any, path: str, *, named: bool, with_input: bool = True) -> bool:
        if not isinstance(loop, dict):
            self.fault(f"A copy loop must be an object, not '{kind(loop)}'. {_SYNTAX}", path)
            return False
        before = len(self.faults)
        if named and not (isinstance(get(loop, "name"), str) and get(loop, "name")):
            self.fault("A copy loop needs a name", path)
        count = get(loop, "count")
        if not is_int(count) and not (isinstance(count, str) and is_expression(count)):
            self.fault("The count of a copy loop must be an integer or an expression", f"{path}.count")
        if with_input and find(loop, "input") is None:
            self.fault("A copy loop needs an input", path)
        return len(self.faults) == before

    def functions(self) -> dict[str, UserFunction]:
        declared = get(self.raw, "functions")
        out: dict[str, UserFunction] = {}
        if declared is None:
            return out
        if not isinstance(declared, list):
            self.fault(f"The section 'functions' must be an array, not '{kind(declared)}'", "functions")
            return out
        for i, group in enumerate(declared):
            path = f"functions[{i}]"
            namespace = get(group, "namespace") if isinstance(group, dict) else None
            members = get(group, "members") if isinstance(group, dict) else None
            if not isinstance(namespace, str) or not namespace or not isinstance(members, dict):
                self.fault("A group of functions needs a namespace and members", path)
                continue
            for name, member in members.items():
                self.user_function(f"{namespace}.{name}", member, f"{path}.members.{name}", out)
        return out

    def user_function(self, name: str, member: Any, path: str, out: dict[str, UserFunction]) -> None:
        output = get(member, "output") if isinstance(member, dict) else None
        given = (get(member, "parameters") or []) if isinstance(member, dict) else []
        names = [get(item, "name") if isinstance(item, dict) else None for item in given] if given else []
        if not isinstance(output, dict) or find(output, "value") is None:
            self.fault(f"The function '{name}' needs an output with a value", path)
        elif not isinstance(given, list) or not all(isinstance(item, str) for item in names):
            self.fault(f"The parameters of the function '{name}' must be an array of objects with a name", path)
        elif name.lower() in out:
            self.fault(f"The function '{name}' is declared more than once", path)
        else:
            types = tuple(item for item in given if isinstance(item, dict))
            returns = {key: item for key, item in output.items() if key.lower() != "value"}
            out[name.lower()] = UserFunction(name, tuple(map(str, names)), get(output, "value"), types, returns)

    def resources(self, symbolic: bool) -> list[Declared]:
        declared = get(self.raw, "resources")
        out: list[Declared] = []
        if symbolic and isinstance(declared, dict):
            out = [Declared(symbol, body, f"resources.{symbol}") for symbol, body in declared.items()]
            if len({item.symbol.lower() for item in out}) < len(out):
                self.fault("Two resources have the same symbolic name", "resources")
        elif isinstance(declared, list):
            out = [Declared("", body, f"resources[{i}]") for i, body in enumerate(declared)]
        elif declared is not None:
            form = "an object" if symbolic else "an array (an object needs languageVersion 2.0)"
            self.fault(f"The section 'resources' must be {form}. {_SYNTAX}", "resources")
        self.limit("resources", len(out), MAX_RESOURCES)
        return [item for item in out if self.resource(item.body, item.path, symbolic)]

    def resource(self, body: Any, path: str, symbolic: bool) -> bool:
        if not isinstance(body, dict):
            self.fault(f"A resource must be an object, not '{kind(body)}'. {_SYNTAX}", path)
            return False
        shown = get(body, "name") if isinstance(get(body, "name"), str) else path
        for name in ("type", "name"):
            if not isinstance(get(body, name), str) or not get(body, name):
                self.fault(
                    f"The template resource '{shown}' is not valid: the '{name}' property is required and must be a "
                    f"string. Please see https://aka.ms/arm-syntax-resources for usage details",
                    path,
                )
        if not isinstance(get(body, "apiVersion"), str) and not isinstance(get(self.raw, "apiProfile"), str):
            self.fault(
                f"The template resource '{shown}' is not valid. The api-version property is required. "
                "Please see https://aka.ms/arm-syntax-resources for usage details",
                path,
            )
        depends = get(body, "dependsOn")
        if depends is not None and not (
            isinstance(depends, str) or (isinstance(depends, list) and all(isinstance(d, str) for d in depends))
        ):
            self.fault("The property 'dependsOn' must be an array of strings", f"{path}.dependsOn")
        self.options(body, path)
        if get(body, "existing") is not None and not symbolic:
            self.fault("The property 'existing' needs languageVersion 2.0", f"{path}.existing")
        for name in ("import", "extension"):
            if get(body, name) is not None:
                self.fault("Resources of extensions are not supported", f"{path}.{name}")
        self.resource_loop(body, path)
        self.children(body, path, symbolic)
        return True

    def options(self, body: Mapping[str, Any], path: str) -> None:
        options = get(body, "@options")
        if options is None:
            return
        for name, value in options.items() if isinstance(options, dict) else (("@options", options),):
            if name.lower() != "onlyifnotexists":
                self.fault(f"The resource option '{name[:100]}' is not supported", f"{path}.@options.{name}")
            elif not isinstance(value, bool):
                self.fault("The resource option 'onlyIfNotExists' must be a boolean", f"{path}.@options.{name}")

    def resource_loop(self, body: Mapping[str, Any], path: str) -> None:
        loop = get(body, "copy")
        if loop is None or not self.loop(loop, f"{path}.copy", named=True, with_input=False):
            return
        mode = get(loop, "mode")
        if mode is not None and str(mode).lower() not in ("serial", "parallel"):
            self.fault("The mode of a copy loop must be 'serial' or 'parallel'", f"{path}.copy.mode")
        size = get(loop, "batchSize")
        if size is not None and not (is_int(size) and size > 0) and not (isinstance(size, str) and is_expression(size)):
            self.fault("The batch size of a copy loop must be a positive integer", f"{path}.copy.batchSize")

    def children(self, body: Mapping[str, Any], path: str, symbolic: bool) -> None:
        inner = get(body, "resources")
        if inner is None:
            return
        pairs: list[tuple[str, Any]]
        if isinstance(inner, list):
            pairs = [(f"{path}.resources[{i}]", child) for i, child in enumerate(inner)]
        elif isinstance(inner, dict) and symbolic:
            pairs = [(f"{path}.resources.{name}", child) for name, child in inner.items()]
        else:
            self.fault("The property 'resources' of a resource must be an array", f"{path}.resources")
            return
        for where, child in pairs:
            self.resource(child, where, symbolic)

    def outputs(self, definitions: Mapping[str, Any]) -> dict[str, Output]:
        declared = self.section("outputs")
        self.limit("outputs", len(declared), MAX_OUTPUTS)
        out: dict[str, Output] = {}
        for name, value in declared.items():
            path = f"outputs.{name}"
            definition = self.typed(name, value, definitions, path)
            if definition is None:
                continue
            loop = get(definition, "copy")
            if loop is not None:
                self.loop(loop, f"{path}.copy", named=False)
            elif find(definition, "value") is None:
                self.fault(f"The output '{name}' needs a value or a copy loop. {_SYNTAX}", path)
            out[name] = Output(name, str(get(definition, "type")).lower(), definition)
        return out

    def expressions(self, value: Any, path: str) -> None:
        """Parse every expression in a section; metadata is never evaluated."""
        stack: list[tuple[Any, str]] = [(value, path)]
        while stack:
            item, where = stack.pop()
            if isinstance(item, str):
                if is_expression(item):
                    self.expression(item, where)
            elif isinstance(item, list):
                stack.extend((child, f"{where}[{i}]") for i, child in enumerate(item))
            elif isinstance(item, dict):
                stack.extend((child, f"{where}.{key}") for key, child in item.items() if key.lower() != "metadata")

    def expression(self, text: str, path: str) -> None:
        try:
            tree = parse(text)
        except ExpressionFault as e:
            self.fault(
                f"The template language expression at '{path}' is not valid: {e.message}. "
                "Please see https://aka.ms/arm-template-expressions for usage details",
                path,
            )
            return
        for node in walk(tree):
            if isinstance(node, Call) and node.namespace is None and not is_function(node.name):
                self.fault(
                    f"The template function '{node.shown}' is not valid. "
                    "Please see https://aka.ms/arm-functions for usage details",
                    path,
                )
