"""kill -9 of a process that commits: whatever it had acknowledged is there when the store is opened again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lazur.store.sqlite import SqliteStore, snapshot
from tests.store.support import key

ROOT = Path(__file__).parents[2]
WRITER = """
import asyncio, sys
from pathlib import Path
from lazur.model.documents import Change, Claim
from lazur.store.sqlite import SqliteStore
from tests.store.support import key, record, wanted

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    async def write(writer):
        for number in range(100_000):
            name = f"{writer}-{number}"
            await store.commit(Change(
                records=[record(name)], desires_of=key(name), desires=[wanted(name)],
                rewire={key(name): ((), [Claim("numbers", name, key(name))])},
            ))
            print(name, flush=True)
    await asyncio.gather(*(write(w) for w in range(8)))

asyncio.run(main())
"""


@pytest.mark.parametrize("acknowledged", [1, 10, 57, 200, 700])
def test_what_was_acknowledged_survives(tmp_path: Path, acknowledged: int) -> None:
    path = tmp_path / "s.db"
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, env=env, text=True)
    assert process.stdout is not None
    try:
        names = [process.stdout.readline().strip() for _ in range(acknowledged)]
    finally:
        os.kill(process.pid, signal.SIGKILL)
    # What it still said before it died was acknowledged too; only a line cut in half was not.
    names += [line.strip() for line in process.stdout if line.endswith("\n")]
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    store = SqliteStore(path)
    try:
        written = {r.key for r in store.list()}
        missing = {key(n) for n in names} - written
        assert not missing, f"acknowledged and lost: {sorted(missing)[:5]}"
        assert set(store.claims("numbers").values()) == written, "a change is there as a whole or not at all"
        assert {d.owner for d in store.domain("host/h01", 0)[1]} == written
        assert [e.sequence for e in store.feed(0, 100_000)] == list(range(1, 2 * len(written) + 1))
    finally:
        store.close()
    assert snapshot(path)[2] == []
