"""The directory keeps hashes, comes back whole, and is the same for the same seed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from lazur.identity.directory import DIRECTORIES, AlreadyThere, Directories, LiveDirectory, Remove, Write, bootstrap
from lazur.identity.firstparty import AZ_CLI
from lazur.identity.kept import StoredObjects
from lazur.identity.objects import (
    Application,
    AppRoleAssignment,
    Group,
    Link,
    ServicePrincipal,
    Stored,
    Tenant,
    User,
)
from lazur.identity.passwords import check_password
from lazur.identity.sealing import StampKey
from lazur.kernel.ids import SeededIds, SystemIds
from lazur.model.documents import Change, Document
from lazur.store.sqlite import SqliteStore
from tests.identity.support import DOMAIN, STAMP_KEY, MemoryObjects


def test_bootstrap_repeats_under_a_seed_and_only_there() -> None:
    assert bootstrap(SeededIds(7), DOMAIN) == bootstrap(SeededIds(7), DOMAIN)
    assert bootstrap(SystemIds(), DOMAIN)[1] != bootstrap(SystemIds(), DOMAIN)[1]


def test_nothing_is_kept_in_the_clear_and_all_comes_back() -> None:
    async def test() -> None:
        store, key = MemoryObjects(), StampKey(STAMP_KEY, SystemIds())
        live, secrets = await LiveDirectory.open(store, SystemIds(), DOMAIN, key)
        text = str(store.texts)
        assert secrets.admin_password not in text and secrets.client_secret not in text
        again, same = await LiveDirectory.open(store, SystemIds(), DOMAIN, key)
        assert again.current == live.current and same == secrets
        user = again.current.user(f"ADMIN@{DOMAIN}")
        assert user is not None and check_password(secrets.admin_password, user.password_hash)
        assert not check_password("", user.password_hash)
        assert again.current.application(AZ_CLI.upper()) is not None
        assert again.current.tenant(DOMAIN) is again.current.tenants[0]
        assert asdict(secrets)["admin_upn"] == f"admin@{DOMAIN}"

    asyncio.run(test())


def test_a_change_that_was_not_stored_did_not_happen() -> None:
    class Broken(MemoryObjects):
        async def save(self, changes: Mapping[str, Any], beside: Change | None = None) -> None:
            if self.texts:
                raise OSError("disk full")
            await super().save(changes)

    async def test() -> None:
        store = Broken()
        live, secrets = await LiveDirectory.open(store, SystemIds(), DOMAIN, StampKey(STAMP_KEY, SystemIds()))
        before = live.current
        with pytest.raises(OSError, match="disk full"):
            await live.change(lambda d: [Remove(d.home.objects[secrets.admin_object_id])])
        assert live.current is before and live.current.user(secrets.admin_object_id)

    asyncio.run(test())


ALICE = User("a1", "t1", "alice@one.example", "Alice", "", federated=(("https://outside.example", "S-1"),))
ONE, TWO = Tenant("t1", "One", "one.example", ("eins.example",)), Tenant("t2", "Two", "two.example")


def edited(before: Directories, *things: Stored) -> Directories:
    return before.edited([Write(thing) for thing in things])[0]


def test_each_directory_holds_its_own() -> None:
    both = edited(Directories(), ONE, TWO, ALICE, replace(ALICE, tenant_id="t2", upn="alice@two.example"))
    assert [t.id for t in both.tenants] == ["t1", "t2"] and both.home.tenant is ONE
    assert both.directory("EINS.example") is both.by_id["t1"] and both.directory("three.example") is None
    assert both.by_id["t2"].user("alice@one.example") is None and both.user("ALICE@two.example") is both.by_id["t2"].user("a1")
    assert both.by_id["t1"].federated("https://outside.example", "S-1") is ALICE
    assert both.by_id["t1"].federated("https://outside.example", "s-1") is None


def test_a_name_is_held_by_one() -> None:
    one = edited(Directories(), ONE, ALICE)
    with pytest.raises(AlreadyThere, match="userPrincipalName"):
        edited(one, replace(ALICE, object_id="a2", federated=(), upn="Alice@One.example"))
    with pytest.raises(AlreadyThere, match="verifiedDomains"):
        edited(one, replace(TWO, domains=("Eins.example",)))
    renamed = edited(one, replace(ALICE, upn="bob@one.example"))
    assert renamed.user("alice@one.example") is None and renamed.user("bob@one.example") is not None
    assert one.user("alice@one.example") is ALICE


def test_groups_nest_and_may_contain_each_other() -> None:
    def inside(source: str, target: str) -> Link:
        return Link("member", "t1", source, target)

    groups = [Group(f"g{n}", "t1", f"G{n}") for n in range(3)]
    circle = [inside("g0", "g1"), inside("g1", "g2"), inside("g2", "g0"), inside("g2", "a1")]
    made = edited(Directories(), ONE, ALICE, *groups, *circle).home
    assert set(made.groups_of("a1")) == {"g0", "g1", "g2"} and set(made.members_of("g1")) == {"g2", "g0", "a1"}
    assert made.linked("member", "g2") == ("g0", "a1")
    changed, documents = made.edited([Remove(groups[2])])
    assert changed.groups_of("a1") == () and changed.groups_of("g1") == ("g0",)
    assert {name.rpartition("/link/")[2] for name, content in documents.items() if content is None and "link" in name} == {
        "member/g1/g2", "member/g2/g0", "member/g2/a1",
    }  # fmt: skip
    assert set(made.groups_of("a1")) == {"g0", "g1", "g2"}


def test_app_roles_reach_users_through_groups_only() -> None:
    app = Application("api", "o1", "t1", "Api", properties={"appRoles": [{"id": "r1", "value": "Read"}]})
    service, caller = ServicePrincipal("s1", "api", "t1", "Api"), ServicePrincipal("s2", "caller", "t1", "Caller")
    links = [Link("member", "t1", "g", "a1"), Link("member", "t1", "g", "s2")]
    held = AppRoleAssignment("x", "t1", "g", "s1", "r1")
    made = edited(Directories(), ONE, ALICE, Group("g", "t1", "G"), app, service, caller, *links, held).home
    assert made.roles_for("a1", "API", app) == ("Read",)
    assert made.roles_for("s2", "api", app) == ()
    without, documents = made.edited([Remove(service)])
    assert without.roles_for("a1", "api", app) == () and documents["directory/t1/appRoleAssignment/x"] is None


def test_an_application_of_another_directory_is_not_there_unless_it_is_for_several() -> None:
    app = Application("app", "o1", "t1", "App")
    made = edited(Directories(), ONE, TWO, app)
    assert made.usable("APP", "t1") is app and made.usable("app", "t2") is None and made.usable(AZ_CLI, "t2") is not None
    assert edited(made, ServicePrincipal("s", "app", "t2", "App")).usable("app", "t2") is app
    assert edited(made, replace(app, sign_in_audience="AzureADMultipleOrgs")).usable("app", "t2") is not None


def test_a_change_writes_the_objects_it_touches_and_a_restart_finds_the_same(tmp_path: Path) -> None:
    async def test() -> None:
        key = StampKey(STAMP_KEY, SeededIds(1))
        store = SqliteStore(tmp_path / "store")
        live, secrets = await LiveDirectory.open(StoredObjects(store, DIRECTORIES), SeededIds(2), DOMAIN, key)
        before = store.position()
        group, admin = Group("g", secrets.tenant_id, "G"), secrets.admin_object_id
        await live.change(lambda _: [Write(group), Write(Link("member", secrets.tenant_id, "g", admin)), Write(TWO)])
        touched = {entry.key for entry in store.feed(before)}
        home = f"directory/{secrets.tenant_id}"
        assert touched == {f"{home}/group/g", f"{home}/link/member/g/{admin}", "directory/t2"}
        assert live.current.home.groups_of(admin) == ("g",)
        await live.change(lambda d: [Remove(group), Write(replace(TWO, display_name="Zwei"))])
        await live.change(lambda _: [Write(group)])
        store.close()
        store = SqliteStore(tmp_path / "store")
        again, same = await LiveDirectory.open(StoredObjects(store, DIRECTORIES), SeededIds(3), DOMAIN, key)
        assert same == secrets and again.current == live.current
        assert [t.display_name for t in again.current.tenants] == ["Lazur", "Zwei"]
        store.close()

    asyncio.run(test())


def test_what_an_earlier_version_kept_in_one_document_is_taken_over() -> None:
    async def test() -> None:
        key, ids = StampKey(STAMP_KEY, SeededIds(1)), SeededIds(2)
        things, secrets = bootstrap(ids, DOMAIN)
        user, app, principal = (asdict(thing) for thing in things[1:4])
        kept = ("object_id", "tenant_id", "upn", "display_name", "password_hash", "enabled", "sessions_from")
        secret = {name: app["secrets"][0][name] for name in ("key_id", "digest", "hint", "expires")}
        old_app = {name: app[name] for name in ("app_id", "object_id", "tenant_id", "display_name", "public")}
        az = {**old_app, "app_id": AZ_CLI, "tenant_id": "", "redirect_uris": ["http://localhost"], "secrets": []}
        first = {
            "version": 1,
            "tenants": [{"id": secrets.tenant_id, "display_name": "Lazur", "default_domain": DOMAIN}],
            "users": [{name: user[name] for name in kept}],
            "applications": [
                {**old_app, "redirect_uris": [], "secrets": [secret], "certificates": []}, {**az, "certificates": []},
            ],
            "principals": [{n: principal[n] for n in ("object_id", "app_id", "tenant_id", "display_name", "enabled")}],
            "initial": key.seal(json.dumps(asdict(secrets)).encode(), "directory#initial"),
        }  # fmt: skip
        store = SqliteStore(None)
        await store.commit(Change(documents=[Document("directory", 1, first)]))
        for _ in range(2):
            live, same = await LiveDirectory.open(StoredObjects(store, DIRECTORIES), ids, DOMAIN, key)
            assert same == secrets and live.current == Directories().edited(map(Write, things))[0]
        assert store.document("directory").content["version"] == 2 and len(store.documents("directory/")) == len(things)

    asyncio.run(test())
