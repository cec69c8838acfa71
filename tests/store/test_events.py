"""The activity log: written with what it tells of, read newest first and page by page, kept for a while."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from lazur.model.documents import Change, Event
from lazur.store.sqlite import SqliteStore
from tests.store.support import DISKS, MOMENT, key, on, record, refused

Make = Callable[[], SqliteStore]
END = MOMENT + timedelta(days=365)


def _event(number: int, time: datetime = MOMENT, subscription: str = "sub", **fields: Any) -> Event:
    known: dict[str, Any] = {
        "group": "rg", "key": key("a"), "type": DISKS, "action": f"{DISKS}/write", "caller": "me", "object_id": "o-1",
    }  # fmt: skip
    return Event(f"id-{number:03}", time, f"c-{number}", subscription, **{**known, **fields})


def test_an_event_comes_back_as_it_was_written(make: Make) -> None:
    event = _event(
        1, MOMENT + timedelta(microseconds=7), claims={"appid": "x"}, status="Accepted", sub_status="Created", level="Warning",
        method="PUT", path="/subscriptions/sub", properties={"statusCode": "Created", "hierarchy": ["é"]},
    )  # fmt: skip

    async def work(store: SqliteStore) -> None:
        await store.commit(Change(records=[record("a")], events=[event]))
        assert list(store.events("SUB", MOMENT, END, 10)) == [event]
        assert store.events("other", MOMENT, END, 10) == []
        await refused(store, Change(records=[record("a")], events=[_event(2)]))

    on(make, work)


def test_pages_are_newest_first_and_meet_every_event_once(make: Make) -> None:
    # Several share a moment, and some fall on whole seconds, whose text is the shorter one.
    moments = [MOMENT + timedelta(milliseconds=500 * (n // 3)) for n in range(40)]
    events = [_event(n, moment) for n, moment in enumerate(moments)]
    shuffled = random.Random(1).sample(events, len(events))

    async def work(store: SqliteStore) -> None:
        for event in shuffled:
            await store.commit(Change(events=[event, _event(900 + int(event.id[3:]), event.time, "other")]))
        seen: list[Event] = []
        while page := store.events("sub", MOMENT, END, 7, (seen[-1].time, seen[-1].id) if seen else None):
            assert len(page) == min(7, len(events) - len(seen))
            seen += page
        assert seen == sorted(events, key=lambda e: (e.time, e.id), reverse=True)
        since, until = MOMENT + timedelta(seconds=1), MOMENT + timedelta(seconds=2)
        assert {e.id for e in store.events("sub", since, until, 99)} == {e.id for e in events if since <= e.time <= until}

    on(make, work)


def test_old_events_are_trimmed_in_every_subscription(make: Make) -> None:
    subscriptions = ("", "a", "b", "c")

    async def work(store: SqliteStore) -> None:
        for number, name in enumerate(subscriptions):
            await store.commit(Change(events=[_event(n, MOMENT + timedelta(days=n), name) for n in range(number + 1, 9)]))
        await store.trim(10, MOMENT, MOMENT + timedelta(days=5))
        left = {name: [int(e.id[3:]) for e in store.events(name, MOMENT, END, 99)] for name in subscriptions}
        assert left == {name: [8, 7, 6, 5] for name in subscriptions}

    on(make, work)
