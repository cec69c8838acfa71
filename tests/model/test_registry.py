"""The registry: what is provided, ARM's answers for what is not, and children that live in their parents."""

from __future__ import annotations

import pytest

import lazur.providers
from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.registry import Registry, check_api_version

REGISTRY = Registry.discover(lazur.providers)
GROUP = "/subscriptions/s/resourceGroups/g"
VNET = f"{GROUP}/providers/microsoft.network/VIRTUALNETWORKS/Net"


def test_every_type_is_whole() -> None:
    types = list(REGISTRY.types())
    assert [t.type for t in types] == sorted(t.type for t in types) and types
    for declared in types:
        assert REGISTRY.find(declared.type.upper()) is declared
        assert declared.type.partition("/")[0].lower() in REGISTRY.providers
        for version in declared.api_versions:
            assert check_api_version(version) == version


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("providers/Contoso.Toys/cars/c", "InvalidResourceNamespace"),
        ("providers/Microsoft.Compute/cars/c", "InvalidResourceType"),
        ("providers/Microsoft.Network/virtualNetworks/n/cars/c", "InvalidResourceType"),
    ],
)
def test_what_nobody_provides(path: str, code: str) -> None:
    id = ArmId.parse(f"{GROUP}/{path}")
    assert REGISTRY.find(id.type) is None and REGISTRY.embedded(id) is None
    with pytest.raises(LazurError) as caught:
        REGISTRY.type_of(id)
    assert (caught.value.code, caught.value.status) == (code, 404)
    assert REGISTRY.canonical(id) == id and REGISTRY.document_of(id) == id


def test_children_live_in_their_parents() -> None:
    subnet = ArmId.parse(f"{VNET}/SUBNETS/a")
    found = REGISTRY.embedded(subnet)
    assert found is not None and found[0].type == "Microsoft.Network/virtualNetworks" and found[1].type == "subnets"
    assert REGISTRY.document_of(subnet) == ArmId.parse(VNET)
    assert REGISTRY.document_of(ArmId.parse(VNET)) == ArmId.parse(VNET)
    for declared in REGISTRY.types():
        for child in declared.embedded:
            assert REGISTRY.find(f"{declared.type}/{child.type}") is None, "a child is stored once"


def test_the_canonical_spelling_keeps_names() -> None:
    assert str(REGISTRY.canonical(ArmId.parse(f"{VNET}/SUBNETS/aB"))) == (
        f"{GROUP}/providers/Microsoft.Network/virtualNetworks/Net/subnets/aB"
    )
    assert REGISTRY.canonical(ArmId.parse(GROUP)) == ArmId.parse(GROUP)


def test_behaviour_stands_beside_the_type() -> None:
    machines = REGISTRY.find("Microsoft.Compute/virtualMachines")
    assert machines is not None
    controller = REGISTRY.behaviour(machines, "controller")
    assert controller is not None and hasattr(controller, "reconcile")
    assert REGISTRY.behaviour(machines, "controller") is controller
    assert REGISTRY.behaviour(machines, "astrology") is None


@pytest.mark.parametrize("version", ["2024-11-01", "2015-06-15-preview", "1999-01-31", "2024-05-01-alpha.2"])
def test_any_wellformed_api_version_is_taken(version: str) -> None:
    assert check_api_version(version) == version


@pytest.mark.parametrize("version", [None, ""])
def test_an_api_version_is_required(version: str | None) -> None:
    with pytest.raises(LazurError) as caught:
        check_api_version(version)
    assert (caught.value.code, caught.value.status) == ("MissingApiVersionParameter", 400)


@pytest.mark.parametrize(
    "version",
    [
        "latest",
        "2024",
        "2024-13-01",
        "2024-00-01",
        "2024-11-32",
        "2024-11-1",
        "2024-11-01-",
        "2024-11-01\n",
        " 2024-11-01",
        "２０２４-11-01",
        "2024-11-01;x",
        "x" * 10_000,
    ],
)
def test_a_malformed_api_version_is_refused(version: str) -> None:
    with pytest.raises(LazurError) as caught:
        check_api_version(version)
    assert caught.value.code == "InvalidApiVersionParameter" and len(caught.value.message) < 300
