"""A stamp of the first release starts with this one and is its owner's still."""

from __future__ import annotations

from lazur.kernel.clock import VirtualClock
from lazur.kernel.simulation import run_virtual
from lazur.model.documents import Change, Document
from lazur.model.rights import OWNER
from tests.cloud.cloud import Cloud, World, new_world


async def _as_it_was(world: World) -> None:
    """The documents of subscriptions and owners in the form they had when there was one directory."""
    store = world.store
    subscriptions, owners = store.document("subscriptions"), store.document("role-assignments")
    assigned = store.list(type="microsoft.authorization/roleassignments")
    groups = store.list(type="microsoft.management/managementgroups")
    rows = [{k: v for k, v in row.items() if k != "tenant"} for row in subscriptions.content]
    held = [
        {"principal": r.properties["principalId"], "role": OWNER.id, "scope": str(r.id.scope)}
        for r in assigned
        if r.id.subscription
    ]
    documents = [
        Document(subscriptions.name, subscriptions.version + 1, rows), Document(owners.name, owners.version + 1, held),
    ]  # fmt: skip
    removed = [(r.key, r.version) for r in (*assigned, *groups)]
    await store.commit(Change(documents=documents, removed=removed))


def test_a_stamp_of_one_directory_goes_on() -> None:
    world = new_world()

    async def main(clock: VirtualClock) -> None:
        cloud = await Cloud(clock, world=world).start()
        await cloud.with_group("before")
        await cloud.stop()
        await _as_it_was(world)
        cloud = await Cloud(clock, world=world).start()
        authority = cloud.plane.authority
        authority.assign(cloud.standing[0])
        assert await cloud.with_group("after")
        assert cloud.world.store.get(cloud.group("before").key) is not None
        assert authority.tenant_of(cloud.subscription) == cloud.plane.secrets.tenant_id
        assert len(world.store.list(type="microsoft.authorization/roleassignments")) == 4
        await cloud.stop()

    run_virtual(main, world.clock())
