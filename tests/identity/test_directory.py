"""The directory keeps hashes, comes back whole, and is the same for the same seed."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

import pytest

from lazur.identity.directory import LiveDirectory, Remove, bootstrap
from lazur.identity.firstparty import AZ_CLI
from lazur.identity.passwords import check_password
from lazur.identity.sealing import StampKey
from lazur.kernel.ids import SeededIds, SystemIds
from tests.identity.support import DOMAIN, STAMP_KEY, MemoryStore


def test_bootstrap_repeats_under_a_seed_and_only_there() -> None:
    assert bootstrap(SeededIds(7), DOMAIN) == bootstrap(SeededIds(7), DOMAIN)
    assert bootstrap(SystemIds(), DOMAIN)[1] != bootstrap(SystemIds(), DOMAIN)[1]


def test_nothing_is_kept_in_the_clear_and_all_comes_back() -> None:
    async def test() -> None:
        store, key = MemoryStore(), StampKey(STAMP_KEY, SystemIds())
        live, secrets = await LiveDirectory.open(store, SystemIds(), DOMAIN, key)
        assert secrets.admin_password not in store.text and secrets.client_secret not in store.text
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
    class Broken(MemoryStore):
        async def save(self, document: dict[str, Any]) -> None:
            if self.text != "{}":
                raise OSError("disk full")
            await super().save(document)

    async def test() -> None:
        store = Broken()
        live, secrets = await LiveDirectory.open(store, SystemIds(), DOMAIN, StampKey(STAMP_KEY, SystemIds()))
        before = live.current
        with pytest.raises(OSError, match="disk full"):
            await live.change(lambda d: [Remove(d.home.objects[secrets.admin_object_id])])
        assert live.current is before and live.current.user(secrets.admin_object_id)

    asyncio.run(test())
