"""Signs of life: how long a silence is, whatever happens to the date."""

from __future__ import annotations

from datetime import datetime, timedelta

from lazur.control.presence import Presence
from lazur.kernel.clock import VirtualClock


class _Set(VirtualClock):
    """A clock whose date is set now and then."""

    ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


def test_a_date_that_is_set_makes_nobody_silent() -> None:
    clock = _Set()
    presence = Presence(clock)
    clock.advance(10)
    presence.note("host/h01")
    clock.advance(20)
    for ahead in timedelta(days=1), timedelta(days=-1):
        clock.ahead = ahead
        assert (presence.silent("host/h01"), presence.silent("host/h02")) == (20, 30)
    presence.note("host/h01")
    assert presence.seen("host/h01") == clock.now() and presence.seen("host/h02") is None
