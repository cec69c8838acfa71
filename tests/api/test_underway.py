"""Addresses on their way to the disk: none is given twice, and each is free again when its commit failed."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address

from lazur.api.underway import Underway
from lazur.model.documents import Claim


class Held:
    """Committed pools of one pool."""

    def __init__(self, *taken: str) -> None:
        self.taken = set(taken)

    def holder(self, pool: str, value: str) -> str | None:
        return "somebody" if value in self.taken else None

    def free(self, pool: str, first: str, last: str) -> str | None:
        numbers = range(int(ip_address(first)), int(ip_address(last)) + 1)
        return next((str(ip_address(n)) for n in numbers if str(ip_address(n)) not in self.taken), None)

    def claims(self, pool: str) -> Mapping[str, str]:
        return dict.fromkeys(self.taken, "somebody")


def test_what_is_on_its_way_is_not_given_again() -> None:
    pools = Underway(Held("10.0.0.5"))

    def free() -> str | None:
        return pools.free("p", "10.0.0.4", "10.0.0.7")

    with pools.committing([Claim("p", "10.0.0.4", "a"), Claim("other", "10.0.0.6", "a")]):
        assert free() == "10.0.0.6"
        with pools.committing([Claim("p", "10.0.0.6", "b")]), pools.committing([Claim("p", "10.0.0.6", "c")]):
            assert free() == "10.0.0.7"
            with pools.committing([Claim("p", "10.0.0.7", "d")]):
                assert free() is None
        assert free() == "10.0.0.6"
        assert pools.holder("p", "10.0.0.4") is None, "it may still fail"
    assert free() == "10.0.0.4"
