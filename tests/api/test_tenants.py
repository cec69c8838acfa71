"""A caller is told of the directory they signed in to, by its own name and domains, and of no other."""

from __future__ import annotations

from lazur.identity.directory import Write
from lazur.identity.objects import Tenant
from tests.api.front import Door, at_the_door
from tests.cloud.cloud import new_world

CONTOSO = Tenant("99999999-0000-4000-8000-000000000007", "Contoso", "contoso.example", ("contoso.test",))


def test_the_tenant_of_a_token_is_shown() -> None:
    async def main(door: Door) -> None:
        await door.plane.identity.directory.change(lambda _: [Write(CONTOSO)])
        shown = await door.ask("GET", "/tenants", token=door.token("somebody", tenant=CONTOSO.id))
        (row,) = shown.json["value"]
        assert (row["tenantId"], row["displayName"]) == (CONTOSO.id, "Contoso")
        assert (row["defaultDomain"], row["domains"]) == ("contoso.example", ["contoso.example", "contoso.test"])
        (row,) = (await door.get("/tenants"))["value"]
        home = door.plane.identity.directory.current.home.tenant
        assert (row["tenantId"], row["domains"]) == (home.id, list(home.names))

    at_the_door(new_world(), main)
