"""User-assigned identities: who they are in the directory, what they may do, and that they go with their resource."""

from __future__ import annotations

from typing import Any

from lazur.identity.objects import ServicePrincipal
from lazur.model.armid import ArmId
from tests.api.front import Answer, Door, at_the_door, world_of
from tests.cloud.cloud import Cloud, World

IDENTITIES = "Microsoft.ManagedIdentity/userAssignedIdentities"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
OPERATOR = "f1a07417-d97a-45cb-824c-7a7467783830"
GUID = "00000000-0000-4000-8000-00000000000"
BODY = {"location": "local", "properties": {}}


async def _group(cloud: Cloud) -> None:
    await cloud.with_group("rg")


def with_group() -> World:
    return world_of("a group", _group)


def identity_id(door: Door, name: str = "id1") -> ArmId:
    return ArmId(door.plane.stamp.subscription, "rg").resource(IDENTITIES, name)


def principal(door: Door, object_id: str) -> ServicePrincipal | None:
    """Whom the directory knows by that object id."""
    found = door.plane.identity.directory.current.home.object(object_id)
    assert found is None or isinstance(found, ServicePrincipal)
    return found


async def made(door: Door, name: str = "id1") -> dict[str, Any]:
    """The properties of a new identity."""
    answer = await door.put(identity_id(door, name), BODY)
    assert answer.status == 201, answer.raw
    found: dict[str, Any] = answer.json["properties"]
    return found


async def assign(door: Door, who: str, role: str, scope: ArmId, name: str = f"{GUID}1") -> Answer:
    """Give a role to a service principal."""
    roles = scope.resource("Microsoft.Authorization/roleDefinitions", role)
    properties = {"roleDefinitionId": str(roles), "principalId": who, "principalType": "ServicePrincipal"}
    return await door.put(scope.resource("Microsoft.Authorization/roleAssignments", name), {"properties": properties})


def test_an_identity_is_a_service_principal_that_lives_as_long_as_its_resource() -> None:
    async def story(door: Door) -> None:
        said = await made(door)
        found = principal(door, said["principalId"])
        assert found is not None and said["tenantId"] == found.tenant_id == door.plane.stamp.tenant
        assert (found.app_id, found.type, found.display_name) == (said["clientId"], "ManagedIdentity", "id1")
        assert found.properties["alternativeNames"] == ["isExplicit=True", str(identity_id(door))]
        assert not (found.secrets or found.certificates or found.federated)
        # Once made, it stays the same, whatever is written over it.
        others = {**BODY, "tags": {"a": "b"}, "properties": {"principalId": f"{GUID}9", "clientId": f"{GUID}8"}}
        again = await door.put(identity_id(door), others)
        assert again.status == 200 and again.json["properties"] == said and again.json["tags"] == {"a": "b"}
        assert (await door.ask("DELETE", str(identity_id(door)))).status == 200
        assert principal(door, said["principalId"]) is None
        assert (await made(door))["principalId"] != said["principalId"]

    at_the_door(with_group(), story)


def test_it_may_do_what_its_roles_say_until_it_goes() -> None:
    async def story(door: Door) -> None:
        said, other = await made(door), str(identity_id(door, "id2"))
        await made(door, "id2")
        token = door.token(said["principalId"])
        assert (await door.ask("GET", other, token=token)).status == 403
        assert (await assign(door, said["principalId"], READER, identity_id(door).scope)).status == 201
        assert (await door.ask("GET", other, token=token)).status == 200
        assert (await door.ask("DELETE", other, token=token)).status == 403
        assert (await door.ask("DELETE", str(identity_id(door)))).status == 200
        assert (await door.ask("GET", other, token=token)).status == 401

    at_the_door(with_group(), story)


def test_the_directory_knows_it_after_a_restart_and_loses_it_with_its_group() -> None:
    world, kept = with_group(), list[str]()

    async def before(door: Door) -> None:
        kept.append((await made(door))["principalId"])

    async def after(door: Door) -> None:
        assert principal(door, kept[0]) is not None
        assert (await door.ask("DELETE", str(identity_id(door).scope))).status == 202
        await door.is_idle()
        assert principal(door, kept[0]) is None

    at_the_door(world, before)
    at_the_door(world, after)


def test_a_move_keeps_it_and_tells_the_directory() -> None:
    async def story(door: Door) -> None:
        said = await made(door)
        target = await door.cloud.with_group("other")
        body = {"resources": [str(identity_id(door))], "targetResourceGroup": str(target)}
        assert (await door.ask("POST", f"{identity_id(door).scope}/moveResources", body)).status == 204
        moved = target.resource(IDENTITIES, "id1")
        assert (await door.get(moved))["properties"] == said
        found = principal(door, said["principalId"])
        assert found is not None and found.properties["alternativeNames"][1] == str(moved)
        assert (await door.ask("DELETE", str(moved))).status == 200
        assert principal(door, said["principalId"]) is None

    at_the_door(with_group(), story)


def test_a_federated_credential_is_the_principals() -> None:
    async def story(door: Door) -> None:
        said, child = await made(door), f"{identity_id(door)}/federatedIdentityCredentials/main"
        properties = {"issuer": "https://ci.example", "subject": "repo:x", "audiences": ["api://AzureADTokenExchange"]}
        assert (await door.put(child, {"properties": properties})).status == 201
        found = principal(door, said["principalId"])
        assert found is not None and [(f.name, f.issuer, f.subject) for f in found.federated] == [
            ("main", "https://ci.example", "repo:x")
        ]
        twin = await door.put(f"{identity_id(door)}/federatedIdentityCredentials/twin", {"properties": properties})
        assert twin.status == 400 and "already" in twin.error["message"]
        assert (await door.ask("DELETE", child)).status == 200
        found = principal(door, said["principalId"])
        assert found is not None and found.federated == ()

    at_the_door(with_group(), story)
