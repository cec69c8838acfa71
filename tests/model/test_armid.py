"""Resource ids: one spelling to compare by, nothing that could lead elsewhere, and no error but our own."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId

NAME = st.text(st.sampled_from("abcXYZ019-_.() üß"), min_size=1, max_size=20).filter(
    lambda t: t not in (".", "..") and t == t.strip()
)
VM = "/subscriptions/S1/resourceGroups/Web/providers/Microsoft.Compute/virtualMachines/Vm1"


@st.composite
def ids(draw: st.DrawFn) -> ArmId:
    depth = draw(st.integers(0, 3))
    group = draw(st.none() | NAME)
    if depth == 0:
        return ArmId(draw(NAME), group)
    names = st.lists(NAME, min_size=depth, max_size=depth).map(tuple)
    subscription = draw(NAME) if group is not None else draw(st.none() | NAME)
    return ArmId(subscription, group, draw(NAME), draw(names), draw(names))


@given(ids())
def test_text_and_back(id: ArmId) -> None:
    assert ArmId.parse(str(id)) == id
    assert ArmId.parse(id.key).key == id.key
    assert ArmId.parse(f"{id}/") == id


@given(ids())
def test_case_does_not_matter(id: ArmId) -> None:
    lowered = ArmId.parse(str(id).lower())
    assert lowered.key == id.key and lowered.type.lower() == id.type.lower()
    assert id.contains(lowered) and lowered.contains(id)


@given(ids())
def test_climbing_ends_at_the_root(id: ArmId) -> None:
    above = id
    for _ in range(8):
        assert above.contains(id)
        above = above.parent
    assert above == ArmId() and str(above) == "/"


@given(
    st.text()
    | st.lists(st.sampled_from(["/", "subscriptions", "providers", "resourceGroups", "..", "%2e", "a", " "])).map("".join)
)
@example("/subscriptions/a\n/resourceGroups/b")
@example("/subscriptions/\ud800")
@example("/subscriptions/" + "a" * 100_000)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = ArmId.parse(text)
    except LazurError as error:
        assert error.code == "LinkedInvalidPropertyId" and error.status == 400 and len(error.message) < 400
    else:
        assert ArmId.parse(str(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "subscriptions/s",
        "/x",
        "/subscriptions",
        "/subscriptions/s/resourceGroups",
        "/providers",
        "/providers/M",
        "/subscriptions/s/resourceGroups/..",
        "/subscriptions/../x",
        "/subscriptions/./resourceGroups/g",
        "/subscriptions/%2e%2e",
        "/subscriptions/s/resourceGroups/a%2fb",
        "/subscriptions/s\\t",
        "/subscriptions/s?x=1",
        "/subscriptions/s#x",
        "/subscriptions/a\x00b",
        "/subscriptions/a\nb",
        "/subscriptions/a\n/resourceGroups/b",
        "/subscriptions/a\x7f/resourceGroups/b",
        "/subscriptions/\udc00",
        f"{VM}/extensions",
        "/subscriptions/s/resourceGroups/g/providers/M/t",
        f"/subscriptions/{'a' * 261}",
        "/subscriptions/s/foo/bar",
        "https://management.local/subscriptions/s",
        f"..{VM}",
        f"x{VM}",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(LazurError):
        ArmId.parse(text)


def test_the_parts_of_an_id() -> None:
    child = ArmId.parse(
        VM.replace("subscriptions", "SUBSCRIPTIONS").replace("resourceGroups", "resourcegroups") + "/extensions/E"
    )
    assert str(child) == f"{VM}/extensions/E", "the fixed words get Azure's spelling, names keep their own"
    assert (child.subscription, child.group, child.name) == ("S1", "Web", "E")
    assert child.type == "Microsoft.Compute/virtualMachines/extensions"
    assert str(child.parent) == VM and child.parent.child("extensions", "E") == child
    assert child.scope.resource("Microsoft.Compute/virtualMachines", "Vm1") == child.parent
    assert ArmId("s", "g").type == "Microsoft.Resources/resourceGroups"
    assert ArmId("s").type == "Microsoft.Resources/subscriptions" and ArmId().type == "Microsoft.Resources/tenants"


@pytest.mark.parametrize(
    ("outer", "inner", "inside"),
    [
        ("/", VM, True),
        ("/subscriptions/s1", VM, True),
        ("/subscriptions/S", VM, False),
        ("/subscriptions/s1/resourcegroups/WEB", VM, True),
        ("/subscriptions/s1/resourceGroups/We", VM, False),
        (VM, VM.upper().replace("/SUBSCRIPTIONS", "/subscriptions"), True),
        (VM, f"{VM}/extensions/e", True),
        (VM, f"{VM}2", False),
        (f"{VM}/extensions/e", VM, False),
        (VM, "/", False),
    ],
)
def test_contains(outer: str, inner: str, inside: bool) -> None:
    assert ArmId.parse(outer).contains(ArmId.parse(inner)) is inside
