"""Documents as ARM reads them: spelling, nulls, secrets, references, and fields that may not change."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lazur.model.armid import ArmId
from lazur.model.fields import (
    Caseless,
    IdText,
    Model,
    Mut,
    Ref,
    SubResource,
    WriteOnly,
    frozen_fields,
    pointers,
    split_secrets,
)

DISK = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/d"
Sku = Annotated[Literal["Basic", "Standard"], Caseless()]


class Wheel(Model):
    name: str = ""
    size_gb: Annotated[int | None, Mut.GROW_ONLY] = None
    rim: Annotated[str | None, Mut.CREATE_ONLY] = None
    pin: Annotated[str | None, WriteOnly] = None
    tyre: Annotated[SubResource | None, Ref("Contoso.Toys/tyres")] = None


class Motor(Model):
    admin_password: Annotated[str | None, WriteOnly] = None
    fuel: Annotated[IdText | None, Ref("Contoso.Toys/fuels", soft=True)] = None


class Car(Model):
    read_only: ClassVar[frozenset[str]] = frozenset({"provisioningState"})
    colour: Annotated[str | None, Mut.CREATE_ONLY] = None
    sku: Sku = "Basic"
    motor: Motor | None = None
    wheels: list[Wheel] = []
    parked_in: Annotated[list[SubResource] | None, Ref("Contoso.Toys/garages", exclusive=True)] = None


def _read(**body: Any) -> Car:
    return Car.model_validate(body)


def test_names_and_choices_without_case() -> None:
    body = {"COLOUR": "Red", "Sku": "sTANDARD", "MOTOR": {"adminpassword": "x"}, "wheels": [{"SIZEGB": 3}]}
    expected = {"colour": "Red", "sku": "Standard", "motor": {"adminPassword": "x"}, "wheels": [{"sizeGb": 3}]}
    assert _read(**body).wire() == expected
    with pytest.raises(ValidationError):
        _read(sku="Premium")
    with pytest.raises(ValidationError):
        _read(sku=7)


def test_null_is_absent_and_nothing_is_made_up() -> None:
    assert _read(colour=None, sku=None, wheels=None).wire() == {}
    assert _read().sku == "Basic"
    assert _read(motor={"fuel": None}).wire() == {"motor": {}}


def test_what_the_cloud_reports_is_ignored_and_the_unknown_kept() -> None:
    found = _read(ProvisioningState="Failed", provisioningState="X", newThing={"a": [1, None]}, sku="basic")
    assert found.wire() == {"newThing": {"a": [1, None]}, "sku": "Basic"}


_DECLARED = {"provisioningstate", *Car.model_fields, *(str(f.alias).lower() for f in Car.model_fields.values())}
_VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=3)


@given(st.dictionaries(st.text(max_size=8).filter(lambda t: t.lower() not in _DECLARED), _VALUES, max_size=5))
def test_the_canonical_form_is_its_own(unknown: dict[str, Any]) -> None:
    once = Car.model_validate({**unknown, "SKU": "standard"}).wire()
    assert Car.model_validate(once).wire() == once
    assert once == {**{k: v for k, v in unknown.items() if v is not None}, "sku": "Standard"}


def test_secrets_are_taken_out_wherever_they_stand() -> None:
    model = _read(motor={"adminPassword": "hunter2", "x": 1}, wheels=[{"name": "l"}, {"name": "r", "pin": "1234"}])
    document = model.wire()
    secrets = split_secrets(model, document)
    assert secrets == {"motor.adminPassword": "hunter2", "wheels[1].pin": "1234"}
    assert document == {"motor": {"x": 1}, "wheels": [{"name": "l"}, {"name": "r"}]}
    assert split_secrets(_read(sku="Basic"), {"sku": "Basic"}) == {}


def test_references_with_their_places() -> None:
    garages = [{"id": DISK}, {"id": DISK + "2"}]
    model = _read(motor={"fuel": DISK}, wheels=[{"name": "l"}, {"name": "r", "tyre": {"id": DISK}}], parkedIn=garages)
    found = {p.path: p for p in pointers(model)}
    assert {k: v.named for k, v in found.items()} == {
        "properties.motor.fuel": "properties.motor.fuel",
        "properties.wheels[1].tyre": "properties.wheels[r].tyre",
        "properties.parkedIn[0]": "properties.parkedIn[0]",
        "properties.parkedIn[1]": "properties.parkedIn[1]",
    }
    assert found["properties.parkedIn[1]"].target == ArmId.parse(DISK + "2") and found["properties.parkedIn[1]"].ref.exclusive
    assert found["properties.motor.fuel"].ref.soft and not found["properties.wheels[1].tyre"].ref.soft
    assert list(pointers(_read())) == []


@pytest.mark.parametrize("text", ["", "disks/d", "/subscriptions/s/../x", "/subscriptions/s\n/resourceGroups/g", 7, {"id": 1}])
def test_an_id_is_checked_for_form(text: Any) -> None:
    with pytest.raises(ValidationError):
        _read(motor={"fuel": text})


def _changed(old: dict[str, Any], new: dict[str, Any]) -> list[str | None]:
    faults = list(frozen_fields(Car.model_validate(new), Car.model_validate(old)))
    assert all(f.code == "PropertyChangeNotAllowed" for f in faults)
    return [f.target for f in faults]


def test_fields_that_stay() -> None:
    assert _changed({"colour": "red"}, {"colour": "red"}) == []
    assert _changed({"colour": "red"}, {"colour": "blue"}) == ["properties.colour"]
    assert _changed({"colour": "red"}, {}) == [], "what is left out was not asked to change"
    assert _changed({}, {"colour": "blue"}) == []
    assert _changed({"colour": DISK}, {"colour": DISK.upper()}) == [], "an id in another spelling is the same id"
    assert _changed({"colour": DISK}, {"colour": f"{DISK}2"}) == ["properties.colour"]


def test_fields_that_grow() -> None:
    def wheels(size: int | None) -> dict[str, Any]:
        return {"wheels": [{"name": "l", "sizeGB": size}]}

    assert _changed(wheels(4), wheels(4)) == _changed(wheels(4), wheels(8)) == _changed(wheels(4), wheels(None)) == []
    assert _changed(wheels(4), wheels(3)) == ["properties.wheels[0].sizeGb"]


def test_children_are_compared_by_their_names() -> None:
    old = {"wheels": [{"name": "l", "rim": "steel"}, {"name": "r", "rim": "gold"}]}
    assert _changed(old, {"wheels": [{"name": "r", "rim": "gold"}, {"name": "l", "rim": "steel"}]}) == []
    assert _changed(old, {"wheels": [{"name": "new", "rim": "tin"}]}) == []
    assert _changed(old, {"wheels": [{"name": "r", "rim": "tin"}]}) == ["properties.wheels[0].rim"]
    assert _changed(old, {"wheels": [{"name": "x"}, {"name": "R", "rim": "tin"}]}) == ["properties.wheels[1].rim"]
