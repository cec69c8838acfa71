"""The site file: region, hosts, networks, storage and endpoints of one stamp, checked whole before anything is touched.

Every fault of a file is reported at once, each with its line and what is expected there. Must never reach out to the
machine: whether the machine can carry the site is the pre-checks' question.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from lazur.kernel.errors import LazurError, all_at_once

Encapsulation = Literal["geneve", "vxlan"]
Profile = Literal["laptop", "lab", "rack"]
Driver = Literal["qemu", "simulated"]

Label = Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")]
# Interface and namespace names derive from it, and those have 15 bytes.
HostName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{0,8}$")]
DomainName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$")]

OVERHEAD: dict[Encapsulation, int] = {"geneve": 58, "vxlan": 50}
"""Bytes a tunnel adds to a guest's packet: inner Ethernet, tunnel header with OVN's option, UDP, IPv4."""

RESERVED_NAMES = frozenset({"edge", "control"})
FIRST_HOST = 11
"""Place of the first host's address in the underlay prefix."""
API_PLACE = 10
"""Place of the API's address in the infrastructure prefix."""
ADMIN_PLACE = 11
"""Place of the address of the operator's endpoint in the infrastructure prefix."""
OPERATORS_ENDPOINT = "adminmanagement"
FIRST_ROUTER_PLACE = 16
"""Place of the first VNet gateway's address in the transit prefix."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class Host(_Part):
    """One server: its capacity and where it stands. `memory_mib` is MiB of 2^20 bytes."""

    name: HostName
    cores: int = Field(ge=1, le=4096)
    memory_mib: int = Field(alias="memoryMiB", ge=512)
    fault_domain: int = Field(ge=0, le=2)
    rack: Label = "r1"
    driver: Driver = "qemu"

    @model_validator(mode="after")
    def _not_reserved(self) -> Self:
        if self.name in RESERVED_NAMES:
            raise ValueError(f"a host cannot be called {self.name}: a part of the rack has that name")
        return self


class Underlay(_Part):
    """The network between hosts that carries tunnels and the control plane's own traffic."""

    prefix: IPv4Network = IPv4Network("10.239.0.0/24")
    mtu: int = Field(default=1700, ge=1600, le=9216)
    encapsulation: Encapsulation = "geneve"


class Segment(_Part):
    """A network of the rack with an own prefix."""

    prefix: IPv4Network
    mtu: int = Field(default=1500, ge=1500, le=9216)


class Networks(_Part):
    """All prefixes a stamp lives on. None may overlap another."""

    underlay: Underlay = Underlay()
    infrastructure: Segment = Segment(prefix=IPv4Network("10.239.1.0/24"))
    link: Segment = Segment(prefix=IPv4Network("10.239.2.0/30"))
    transit: Segment = Segment(prefix=IPv4Network("10.239.4.0/22"))
    public: tuple[IPv4Network, ...] = Field(default=(IPv4Network("198.51.100.0/24"),), min_length=1)
    template_servers: tuple[IPv4Network | IPv6Network, ...] = ()
    """Private ranges that linked templates may be fetched from; without it only public addresses (decision 0006)."""

    @property
    def internal(self) -> tuple[str, ...]:
        """The prefixes that only the stamp's own parts may be reached by."""
        return tuple(str(part.prefix) for part in (self.underlay, self.infrastructure, self.link, self.transit))

    def prefixes(self) -> Iterator[tuple[str, IPv4Network]]:
        """Every prefix with the name of its place in the site file."""
        for name in ("underlay", "infrastructure", "link", "transit"):
            yield name, getattr(self, name).prefix
        for index, prefix in enumerate(self.public):
            yield f"public[{index}]", prefix

    @model_validator(mode="after")
    def _disjoint_and_large_enough(self) -> Self:
        for (one, a), (other, b) in combinations(self.prefixes(), 2):
            if a.overlaps(b):
                raise ValueError(f"{one} {a} and {other} {b} overlap; give each its own prefix")
        for name, needed in (("underlay", 16), ("infrastructure", 16), ("link", 4), ("transit", 32)):
            prefix: IPv4Network = getattr(self, name).prefix
            if prefix.num_addresses < needed:
                raise ValueError(f"{name} {prefix} has {prefix.num_addresses} addresses; at least {needed} are needed")
        return self


class OutsideProvider(_Part):
    """An OpenID provider whose people may sign in here; docs/identity.md says what each key means."""

    key: Label
    display_name: str = Field(min_length=1, max_length=64)
    issuer: str = Field(pattern=r"^https://[^\s?#]+$")
    client_id: str = Field(min_length=1)
    client_secret_file: Path | None = None
    tenant: str = ""
    scopes: str = "openid profile email"
    subject_claim: str = "sub"
    name_claim: str = "preferred_username"
    display_name_claim: str = "name"
    groups_claim: str = "groups"
    groups: dict[str, str] = {}
    create: bool = True
    link: bool = False

    def settings(self) -> dict[str, Any]:
        """All but where the secret is."""
        return self.model_dump(exclude={"client_secret_file"})


class Identity(_Part):
    """Who else may vouch for people."""

    federation: tuple[OutsideProvider, ...] = ()

    @model_validator(mode="after")
    def _keys_differ(self) -> Self:
        keys = [provider.key for provider in self.federation]
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"keys of identity providers must differ; given more than once: {', '.join(twice)}")
        return self


class Site(_Part):
    """One stamp."""

    name: Label
    region: Label
    domain: DomainName
    profile: Profile = "laptop"
    hosts: tuple[Host, ...] = Field(min_length=1)
    networks: Networks = Networks()
    identity: Identity = Identity()
    endpoints: tuple[Label, ...] = ("management", "adminmanagement", "login", "adfs", "graph", "portal")
    throttling: bool | None = None
    """Whether requests are held to Azure's rates; unsaid, they are except on a laptop."""
    egress_interface: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.@-]{1,15}$")

    @model_validator(mode="after")
    def _hosts_differ_and_fit(self) -> Self:
        names = [host.name for host in self.hosts]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"host names must differ; given more than once: {', '.join(twice)}")
        room = self.networks.underlay.prefix.num_addresses - FIRST_HOST - 1
        if len(names) > room:
            raise ValueError(f"{len(names)} hosts do not fit {self.networks.underlay.prefix}; it has room for {room}")
        return self

    @classmethod
    def load(cls, path: Path) -> Site:
        """The site in the YAML file `path`; raises `LazurError` `InvalidSiteFile` naming every fault with its line."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise LazurError("SiteFileUnreadable", f"{path}: {error}") from error
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, source: str) -> Site:
        """The site in `text`; `source` is what errors call it."""
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
            content = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            raise LazurError("InvalidSiteFile", f"{source} line {line}: not YAML: {error.problem}") from error
        lines: dict[tuple[str | int, ...], int] = {}
        faults = [_fault(source, line, path, what) for path, line, what in _walk(root, (), lines)]
        try:
            site = cls.model_validate({} if content is None else content)
        except ValidationError as error:
            found = [dict(fault) for fault in error.errors(include_url=False)]
            faults += [_explained(source, lines, fault) for fault in found if not _follows(fault, found)]
            site = None
        if faults or site is None:
            raise all_at_once(faults, f"{source} has {len(faults)} faults.")
        return site

    def with_hosts(self, count: int) -> Site:
        """This site with `count` hosts: the file's first ones, then copies of its last with fresh names, their fault
        domains in turn."""
        if count < 1:
            raise LazurError("InvalidHostCount", f"At least 1 host is needed, not {count}.")
        hosts = list(self.hosts[:count])
        taken = {host.name for host in hosts}
        fresh = (name for name in (f"h{number:02d}" for number in range(1, count + len(hosts) + 1)) if name not in taken)
        while len(hosts) < count:
            hosts.append(hosts[-1].model_copy(update={"name": next(fresh), "fault_domain": len(hosts) % 3}))
        return Site.model_validate({**self.model_dump(by_alias=True), "hosts": [h.model_dump(by_alias=True) for h in hosts]})

    @property
    def zone(self) -> str:
        """`<region>.<domain>`, which all names of the stamp end in."""
        return f"{self.region}.{self.domain}"

    @property
    def endpoint_names(self) -> dict[str, str]:
        """The full name of each endpoint."""
        return {endpoint: f"{endpoint}.{self.zone}" for endpoint in self.endpoints}

    @property
    def api_address(self) -> IPv4Address:
        """Where every endpoint but the operator's listens on 443."""
        return self.networks.infrastructure.prefix[API_PLACE]

    @property
    def admin_address(self) -> IPv4Address:
        """Where the operator's endpoint listens on 443, so that it can be closed to everybody else's network."""
        return self.networks.infrastructure.prefix[ADMIN_PLACE]

    @property
    def endpoint_addresses(self) -> dict[str, IPv4Address]:
        """The address behind each endpoint's full name."""
        own = {OPERATORS_ENDPOINT: self.admin_address}
        return {name: own.get(endpoint, self.api_address) for endpoint, name in self.endpoint_names.items()}

    @property
    def control_address(self) -> IPv4Address:
        """The control plane's underlay address: OVN databases and desires."""
        return self.networks.underlay.prefix[2]

    def host_address(self, name: str) -> IPv4Address:
        """The tunnel address of host `name`."""
        return self.networks.underlay.prefix[FIRST_HOST + [host.name for host in self.hosts].index(name)]

    @property
    def guest_mtu(self) -> int:
        """What fits into the tunnels, but never more than the 1500 bytes Azure's users expect."""
        return min(1500, self.networks.underlay.mtu - OVERHEAD[self.networks.underlay.encapsulation])


def _fault(source: str, line: int, path: Sequence[str | int], what: str) -> LazurError:
    name = _spelled(path) or "the file"
    return LazurError("InvalidSiteFile", f"{source} line {line}: {name}: {what}", target=_spelled(path) or None)


def _spelled(path: Sequence[str | int]) -> str:
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
    return out


def _walk(
    node: yaml.Node | None, path: tuple[str | int, ...], lines: dict[tuple[str | int, ...], int]
) -> Iterator[tuple[tuple[str | int, ...], int, str]]:
    """Note the line of every key and element; yield keys given twice, of which YAML silently keeps the last."""
    if node is None:
        return
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, element in enumerate(node.value):
            yield from _walk(element, (*path, index), lines)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            place = (*path, str(key.value))
            if place in lines:
                yield place, key.start_mark.line + 1, f"given twice, first on line {lines[place]}"
            lines[place] = key.start_mark.line + 1
            yield from _walk(value, place, lines)


def _follows(fault: dict[str, Any], found: Sequence[dict[str, Any]]) -> bool:
    """Whether `fault` only counts elements that were dropped for their own faults."""
    depth = len(fault["loc"])
    inner = (other for other in found if len(other["loc"]) > depth and other["loc"][:depth] == fault["loc"])
    return fault["type"] == "too_short" and any(inner)


def _explained(source: str, lines: dict[tuple[str | int, ...], int], fault: dict[str, Any]) -> LazurError:
    path = tuple(fault["loc"])
    nearest = path
    while nearest and nearest not in lines:
        nearest = nearest[:-1]
    what = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        what = f"unknown key; expected one of {', '.join(_keys_at(path[:-1]))}"
    elif fault["type"] == "missing":
        what = "missing; a value is required"
    elif not isinstance(fault["input"], dict | list | BaseModel):
        what = f"{what}; found {fault['input']!r}"
    return _fault(source, lines.get(nearest, 1), path, what)


def _keys_at(path: Sequence[str | int]) -> list[str]:
    model: type[BaseModel] = Site
    for part in path:
        field = next((f for n, f in model.model_fields.items() if part in (n, f.alias)), None)
        model = next(_models_in(field.annotation), model) if field is not None else model
    return sorted(field.alias or name for name, field in model.model_fields.items())


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _models_in(inner)
