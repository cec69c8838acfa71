"""Keys change under traffic: no token that was good becomes bad before its time, here or at a relying party."""

from __future__ import annotations

from joserfc import jwt
from joserfc.jwk import KeySet, KeySetSerialization

from lazur.kernel.clock import VirtualClock
from lazur.kernel.errors import LazurError
from tests.identity.flows import by_password, by_refresh, by_secret, run
from tests.identity.support import again, call, stamp

HOUR, DAY = 3600, 86_400


class RelyingParty:
    """Checks tokens with a key document it fetches once a day, as most do."""

    def __init__(self) -> None:
        self.keys: KeySet | None = None
        self.fetched = -DAY

    def learn(self, now: int, document: KeySetSerialization) -> None:
        if now - self.fetched >= DAY:
            self.keys, self.fetched = KeySet.import_key_set(document), now

    def check(self, token: str) -> None:
        assert self.keys is not None
        jwt.decode(token, self.keys, algorithms=["RS256"])


def test_seventy_days_of_traffic() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = await stamp(clock)
        elsewhere, signed_by, living = RelyingParty(), set(), []
        refresh = (await by_password(made)).json["refresh_token"]
        for hour in range(0, 24 * 70, 5):  # every hour of the day has its turn
            elsewhere.learn(hour * HOUR, (await call(made.app, "GET", "/common/discovery/v2.0/keys")).json)
            await made.keys.rotate()
            signed_by.add(made.keys.signing().kid)
            answer = await by_secret(made)
            assert answer.status == 200
            living.append(answer.json["access_token"])
            clock.advance(HOUR - 1)
            for token in living:  # in the last second of its life
                assert made.verifier.verify(token, made.endpoints.accepted_by_arm).object_id
                elsewhere.check(token)
            clock.advance(4 * HOUR + 1)
            for token in living:
                try:
                    made.verifier.verify(token, made.endpoints.accepted_by_arm)
                    raise AssertionError("an hour is over")
                except LazurError as error:
                    assert error.code == "ExpiredAuthenticationToken"
            living.clear()
            if hour % (24 * 5) == 0:
                got = await by_refresh(made, refresh)
                assert got.status == 200, got.text
                refresh = got.json["refresh_token"]
        assert len(signed_by) == 3

    run(test())


def test_tokens_outlive_a_restart_and_a_rotation_at_once() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = await stamp(clock)
        token = (await by_secret(made)).json["access_token"]
        refresh = (await by_password(made)).json["refresh_token"]
        clock.advance(30 * DAY - 600)
        late = (await by_secret(made)).json["access_token"]
        clock.advance(1200)
        after = await again(made.kept, clock, made.endpoints)
        assert after.verifier.verify(late, made.endpoints.accepted_by_arm).object_id
        assert (await by_refresh(after, refresh)).status == 200
        assert token != late

    run(test())
