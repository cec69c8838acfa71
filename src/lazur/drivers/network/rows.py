"""Rows of the overlay's database as plain values: which tables and columns are ours, and how rows name each other.

A row is known by its table and a *key* of our own choosing, never by a database UUID, so that rows can be compiled without
a database and compared with what a database holds. Must never do I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import NamedTuple


class Ref(NamedTuple):
    """Another row, by table and key."""

    table: str
    key: str


Value = str | int | bool | Ref | frozenset[str] | frozenset[Ref] | Mapping[str, str]
"""A column's value. An absent column means the column's empty value."""

Columns = Mapping[str, Value]
Rows = Mapping[Ref, Columns]
"""All rows of interest. Columns with an empty value are left out, so that equal states are equal mappings."""


class Kind(Enum):
    """The shape of a column, and with it what "empty" is."""

    TEXT = "text"
    """A string that is always there; empty is ""."""
    NUMBER = "number"
    """An integer; empty is 0."""
    MAYBE_TEXT = "maybe"
    """A string or nothing."""
    TEXTS = "texts"
    """A set of strings."""
    MAP = "map"
    """A string to string map."""
    REF = "ref"
    """One row or nothing."""
    REFS = "refs"
    """A set of rows."""


class Table(NamedTuple):
    """One table: our columns of it, whether rows live on their own (`root`), and the column that must be unique."""

    columns: Mapping[str, Kind]
    root: bool
    unique: str | None = None


TABLES: Mapping[str, Table] = {
    "Logical_Router": Table(
        {
            "name": Kind.TEXT,
            "ports": Kind.REFS,
            "static_routes": Kind.REFS,
            "policies": Kind.REFS,
            "nat": Kind.REFS,
            "load_balancer": Kind.REFS,
            "options": Kind.MAP,
        },
        root=True,
    ),
    "Logical_Router_Port": Table(
        {"name": Kind.TEXT, "mac": Kind.TEXT, "networks": Kind.TEXTS, "ha_chassis_group": Kind.REF, "options": Kind.MAP},
        root=False,
        unique="name",
    ),
    "Logical_Router_Static_Route": Table(
        {"ip_prefix": Kind.TEXT, "nexthop": Kind.TEXT, "output_port": Kind.MAYBE_TEXT}, root=False
    ),
    "Logical_Router_Policy": Table({"priority": Kind.NUMBER, "match": Kind.TEXT, "action": Kind.TEXT}, root=False),
    "NAT": Table({"type": Kind.TEXT, "external_ip": Kind.TEXT, "logical_ip": Kind.TEXT, "options": Kind.MAP}, root=False),
    "HA_Chassis_Group": Table({"name": Kind.TEXT, "ha_chassis": Kind.REFS}, root=True, unique="name"),
    "HA_Chassis": Table({"chassis_name": Kind.TEXT, "priority": Kind.NUMBER}, root=False),
    "Logical_Switch": Table(
        {
            "name": Kind.TEXT,
            "ports": Kind.REFS,
            "load_balancer": Kind.REFS,
            "dns_records": Kind.REFS,
            "other_config": Kind.MAP,
        },
        root=True,
    ),
    "Logical_Switch_Port": Table(
        {
            "name": Kind.TEXT,
            "type": Kind.TEXT,
            "addresses": Kind.TEXTS,
            "port_security": Kind.TEXTS,
            "options": Kind.MAP,
            "dhcpv4_options": Kind.REF,
        },
        root=False,
        unique="name",
    ),
    "DHCP_Options": Table({"cidr": Kind.TEXT, "options": Kind.MAP}, root=True),
    "DNS": Table({"records": Kind.MAP}, root=True),
    "Port_Group": Table({"name": Kind.TEXT, "ports": Kind.REFS, "acls": Kind.REFS}, root=True, unique="name"),
    "Address_Set": Table({"name": Kind.TEXT, "addresses": Kind.TEXTS}, root=True, unique="name"),
    "ACL": Table(
        {
            "name": Kind.MAYBE_TEXT,
            "direction": Kind.TEXT,
            "tier": Kind.NUMBER,
            "priority": Kind.NUMBER,
            "match": Kind.TEXT,
            "action": Kind.TEXT,
        },
        root=False,
    ),
    "Load_Balancer": Table(
        {
            "name": Kind.TEXT,
            "protocol": Kind.MAYBE_TEXT,
            "vips": Kind.MAP,
            "selection_fields": Kind.TEXTS,
            "options": Kind.MAP,
        },
        root=True,
    ),
}
"""Every table and column that is written. Other columns of these tables belong to OVN and are never touched."""

OWNER = "lazur"
"""The `external_ids` key under which a row carries our key; rows without it are somebody else's and left alone."""


def empty(kind: Kind) -> Value | None:
    """The value that stands for "nothing" in a column of this kind; None where there is no value at all."""
    match kind:
        case Kind.TEXT:
            return ""
        case Kind.NUMBER:
            return 0
        case Kind.TEXTS | Kind.REFS:
            return frozenset()
        case Kind.MAP:
            return {}
        case _:
            return None


def canonical(table: str, columns: Columns) -> dict[str, Value]:
    """`columns` without the empty ones. Raises KeyError for a column that is not ours."""
    kinds = TABLES[table].columns
    return {name: value for name, value in columns.items() if value is not None and value != empty(kinds[name])}


def references(columns: Columns) -> Iterator[Ref]:
    """Every row that `columns` point at."""
    for value in columns.values():
        if isinstance(value, Ref):
            yield value
        elif isinstance(value, frozenset):
            yield from (item for item in value if isinstance(item, Ref))


def is_strong(table: str, column: str) -> bool:
    """Whether a reference keeps its target alive and may not dangle (OVSDB "strong"); weak ones vanish with the target."""
    return (table, column) not in _WEAK


_WEAK = {
    ("Logical_Router", "load_balancer"),
    ("Logical_Switch", "load_balancer"),
    ("Logical_Switch", "dns_records"),
    ("Logical_Switch_Port", "dhcpv4_options"),
    ("Port_Group", "ports"),
}
