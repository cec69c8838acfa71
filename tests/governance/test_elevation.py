"""Whoever administers a directory may give himself access to all of it, for as long as the assignment stands."""

from __future__ import annotations

from lazur.identity.directory import Write
from lazur.identity.objects import GLOBAL_ADMINISTRATOR, Link
from tests.api.front import Door
from tests.governance.test_rights import GUID, HELD, READER, ROLES, WHO, _group_of, _world


def test_who_administers_the_directory_may_give_himself_access() -> None:
    async def story(door: Door) -> None:
        path, token, group = "/providers/Microsoft.Authorization/elevateAccess", door.token(WHO), _group_of(door)
        tenant = door.plane.stamp.tenant
        assert (await door.ask("POST", path, token=token)).status == 403
        live = door.plane.identity.directory
        await live.change(lambda d: [Write(Link("role", tenant, GLOBAL_ADMINISTRATOR, WHO))])
        token = door.token(WHO)
        assert (await door.ask("PUT", str(group.resource(HELD, f"{GUID}1")), {}, token=token)).status == 403
        for _ in range(2):
            answer = await door.ask("POST", path, token=token, version="2016-07-01")
            assert (answer.status, answer.raw) == (200, b"{}")
        mine = (await door.ask("GET", f"/providers/{HELD}", query="$filter=atExactScope()", token=token)).json["value"]
        mine = [m for m in mine if m["properties"]["principalId"] == WHO]
        assert [(m["properties"]["scope"], m["properties"]["roleDefinitionId"].rpartition("/")[2]) for m in mine] == [
            ("/", "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9")
        ]
        reader = {"roleDefinitionId": str(group.resource(ROLES, READER)), "principalId": WHO}
        given = await door.ask("PUT", str(group.resource(HELD, f"{GUID}1")), {"properties": reader}, token=token)
        assert given.status == 201
        assert (await door.ask("DELETE", mine[0]["id"], token=token)).status == 200
        again = await door.ask("PUT", str(group.resource(HELD, f"{GUID}2")), {"properties": reader}, token=token)
        assert again.status == 403

    _world(story)
