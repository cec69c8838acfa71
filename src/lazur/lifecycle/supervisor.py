"""PID 1 of every container of the rack: starts the services of a list in order and restarts each on any exit.

It also reaps what is orphaned (guests' QEMU processes outlive the agent that started them), rotates logs, and says in a
small file how each service does. Must import nothing heavy and start fast: it runs before anything else does,
and a host's memory counts it once per container. Must never touch a process it did not start, except at the very end,
when everything left in its PID namespace has to go.

The list is JSON: `{"services": [{"name", "argv", "env", "setup", "started", "after", "ready", "stopSeconds"}], "logs",
"status", "hold", "logBytes"}`. `setup` commands run before each start, `started` commands after each time the service
became ready (they restore links and addresses), `after` names services to wait for, `ready` is `{"socket": path}`,
`{"command": argv}` or absent. A service named in the `hold` file is not started again until the file no longer names it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lazur.kernel.machine_time import monotonic, stamp

# The first restart is at once: most deaths are one kill, and traffic has to be back within seconds.
BACKOFF = (0.0, 0.1, 0.3, 1.0, 2.0, 5.0)
# A service that ran this long starts with a clean slate.
STABLE_SECONDS = 10.0
RETRY_SECONDS = 0.05
HOOK_RETRY_SECONDS = 0.5
ROTATE_SECONDS = 5.0
# Guests flush their disks in this time before they are killed.
LAST_SECONDS = 5.0
KEPT_LOGS = 2
_RESET = (signal.SIGPIPE, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Service:
    """One entry of the list and how it does: waiting, setup, starting, hooks, ready, backoff or stopped."""

    def __init__(self, entry: Mapping[str, Any], logs: Path) -> None:
        self.name: str = entry["name"]
        self.argv: list[str] = entry["argv"]
        self.env: dict[str, str] = {**os.environ, **entry.get("env", {})}
        self.setup: list[list[str]] = entry.get("setup", [])
        self.started: list[list[str]] = entry.get("started", [])
        self.after: list[str] = entry.get("after", [])
        self.ready: Mapping[str, Any] | None = entry.get("ready")
        self.stop_seconds: float = entry.get("stopSeconds", 3.0)
        self.log = logs / f"{self.name}.log"
        self.state = "waiting"
        self.pid = 0
        self.helper = 0
        self.step = 0
        self.restarts = 0
        self.failures = 0
        self.not_before = 0.0
        self.begun = 0.0
        self.since = ""
        self.last_exit = ""

    def spawn(self, argv: Sequence[str]) -> int:
        """Start `argv` in a session of its own with output appended to the service's log; its pid, or 0 if it cannot."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        actions: list[tuple[Any, ...]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(self.log), flags, 0o640),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        try:
            return os.posix_spawnp(argv[0], list(argv), self.env, file_actions=actions, setsid=True, setsigdef=_RESET)
        except OSError as error:
            with self.log.open("a") as out:
                out.write(f"supervisor: {argv[0]} cannot be started: {error}\n")
            return 0

    def document(self) -> dict[str, Any]:
        """What the status file says of it."""
        return {
            "state": self.state,
            "pid": self.pid,
            "restarts": self.restarts,
            "since": self.since,
            "lastExit": self.last_exit,
        }


class Supervisor:
    """The loop. `monotonic` gives seconds for deadlines, `stamp` the wall-clock time for people."""

    def __init__(self, config: Mapping[str, Any], monotonic: Callable[[], float], stamp: Callable[[], str]) -> None:
        self._monotonic = monotonic
        self._stamp = stamp
        self._logs = Path(config["logs"])
        self._status = Path(config["status"])
        self._hold = Path(config["hold"])
        self._log_bytes: int = config.get("logBytes", 4 << 20)
        self._logs.mkdir(parents=True, exist_ok=True)
        self._services = [Service(entry, self._logs) for entry in config["services"]]
        self._by_name = {service.name: service for service in self._services}
        self._exits: dict[int, int] = {}
        self._next_rotation = 0.0
        self._stopping = False
        self._dirty = True
        self._wake, self._waker = os.pipe()
        for descriptor in (self._wake, self._waker):
            os.set_blocking(descriptor, False)

    def run(self) -> None:
        """Keep the services up until SIGTERM or SIGINT, then stop them in reverse order and return."""
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        for number in (signal.SIGCHLD, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        self._say("started")
        while not self._stopping:
            now = self._monotonic()
            self._reap()
            held = self._held()
            pause = min((self._advance(service, now, held) for service in self._services), default=ROTATE_SECONDS)
            if now >= self._next_rotation:
                self._next_rotation = now + ROTATE_SECONDS
                self._rotate()
            self._publish()
            if not self._stopping:
                self._sleep(min(pause, ROTATE_SECONDS))
        self._stop_all()

    def _on_stop(self, *_: object) -> None:
        self._stopping = True

    def _sleep(self, seconds: float) -> None:
        select.select([self._wake], [], [], max(0.0, seconds))
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake, 512):
                pass

    def _reap(self) -> None:
        """Collect every dead child, adopted orphans included."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if any(pid in (service.pid, service.helper) for service in self._services):
                self._exits[pid] = os.waitstatus_to_exitcode(status)

    def _held(self) -> frozenset[str]:
        try:
            return frozenset(self._hold.read_text().split())
        except OSError:
            return frozenset()

    def _advance(self, service: Service, now: float, held: frozenset[str]) -> float:
        """Move one service on as far as it goes; seconds after which to look again without a signal."""
        if service.pid and service.pid in self._exits:
            self._ended(service, now, self._exits.pop(service.pid))
        if service.helper:
            if service.helper not in self._exits:
                return ROTATE_SECONDS
            code, service.helper = self._exits.pop(service.helper), 0
            return self._helped(service, now, code)
        if service.state in ("waiting", "backoff"):
            if service.name in held:
                return 1.0
            if now < service.not_before:
                return service.not_before - now
            if any(self._by_name[name].state != "ready" for name in service.after):
                return ROTATE_SECONDS
            return self._begin(service, now)
        if service.state == "starting":
            return self._probe(service, now)
        if service.state == "hooks":
            return max(0.0, service.not_before - now) or self._hook(service, now)
        return ROTATE_SECONDS

    def _begin(self, service: Service, now: float) -> float:
        self._become(service, "setup")
        service.step = 0
        return self._set_up(service, now)

    def _set_up(self, service: Service, now: float) -> float:
        if service.step < len(service.setup):
            return self._help(service, now, service.setup[service.step])
        service.pid = service.spawn(service.argv)
        service.begun = now
        if not service.pid:
            self._ended(service, now, 127)
            return RETRY_SECONDS
        self._become(service, "starting")
        service.not_before = now
        return self._probe(service, now)

    def _help(self, service: Service, now: float, argv: Sequence[str]) -> float:
        service.helper = service.spawn(argv)
        return ROTATE_SECONDS if service.helper else self._helped(service, now, 127)

    def _helped(self, service: Service, now: float, code: int) -> float:
        """A setup command, a readiness probe or a hook ended."""
        if service.state == "setup":
            if code:
                self._ended(service, now, code)
                return RETRY_SECONDS
            service.step += 1
            return self._set_up(service, now)
        if service.state == "starting" and code == 0:
            return self._is_ready(service, now)
        if service.state == "hooks" and code == 0:
            service.step += 1
            return self._hook(service, now)
        if service.state in ("starting", "hooks"):
            # Later each time: a probe is a process, and a service may be slow for minutes.
            waited = now - service.begun
            pause = HOOK_RETRY_SECONDS if service.state == "hooks" else min(1.0, max(RETRY_SECONDS, waited / 5))
            service.not_before = now + pause
            return pause
        return RETRY_SECONDS

    def _probe(self, service: Service, now: float) -> float:
        if now < service.not_before:
            return service.not_before - now
        if service.ready is None:
            return self._is_ready(service, now)
        if "command" in service.ready:
            return self._help(service, now, service.ready["command"])
        if _accepts(service.ready["socket"]):
            return self._is_ready(service, now)
        return min(1.0, max(RETRY_SECONDS / 2, (now - service.begun) / 5))

    def _is_ready(self, service: Service, now: float) -> float:
        self._become(service, "hooks")
        service.step = 0
        service.not_before = now
        return self._hook(service, now)

    def _hook(self, service: Service, now: float) -> float:
        if service.step < len(service.started):
            return self._help(service, now, service.started[service.step])
        self._become(service, "ready")
        return 0.0  # others may be waiting for it

    def _ended(self, service: Service, now: float, code: int) -> None:
        """The service, or a setup command of it, is gone: plan the restart."""
        if service.helper:
            # It worked on behalf of the dead; what it answers no longer matters, the reaper takes it.
            _kill(service.helper, signal.SIGKILL)
            self._exits.pop(service.helper, None)
            service.helper = 0
        service.failures = 0 if service.pid and now - service.begun >= STABLE_SECONDS else service.failures
        delay = BACKOFF[min(service.failures, len(BACKOFF) - 1)]
        service.failures += 1
        service.restarts += 1
        service.last_exit = f"signal {-code}" if code < 0 else f"exit {code}"
        self._say(f"{service.name} ended ({service.last_exit}) in state {service.state}; again in {delay:g} s")
        service.pid = 0
        service.not_before = now + delay
        self._become(service, "backoff")

    def _become(self, service: Service, state: str) -> None:
        if service.state != state:
            service.state, service.since, self._dirty = state, self._stamp(), True

    def _publish(self) -> None:
        if not self._dirty:
            return
        self._dirty = False
        document = {
            "pid": os.getpid(),
            "state": "stopping" if self._stopping else "running",
            "services": {service.name: service.document() for service in self._services},
        }
        scratch = self._status.with_suffix(".new")
        scratch.write_text(json.dumps(document))
        scratch.replace(self._status)

    def _say(self, message: str) -> None:
        with (self._logs / "supervisor.log").open("a") as out:
            out.write(f"{self._stamp()} {message}\n")

    def _rotate(self) -> None:
        """Copy a large log aside and empty it: its writers keep their descriptor, which appends."""
        for log in self._logs.glob("*.log"):
            if log.stat().st_size < self._log_bytes:
                continue
            for number in range(KEPT_LOGS - 1, 0, -1):
                older = log.with_name(f"{log.name}.{number}")
                if older.exists():
                    older.replace(log.with_name(f"{log.name}.{number + 1}"))
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            os.truncate(log, 0)

    def _stop_all(self) -> None:
        self._dirty = True
        self._publish()
        for service in reversed(self._services):
            if service.helper:
                _kill(service.helper, signal.SIGKILL)
            if service.pid:
                _kill(service.pid, signal.SIGTERM)
                if not self._gone(service, service.stop_seconds):
                    _kill(service.pid, signal.SIGKILL)
                    self._gone(service, 1.0)
            service.pid = 0
            self._become(service, "stopped")
        if os.getpid() == 1:
            self._stop_the_rest()
        self._say("stopped")
        self._publish()

    def _gone(self, service: Service, seconds: float) -> bool:
        """Whether the service's process ends within `seconds`."""
        deadline = self._monotonic() + seconds
        while True:
            self._reap()
            if service.pid in self._exits:
                return True
            left = deadline - self._monotonic()
            if left <= 0:
                return False
            self._sleep(min(left, 0.1))

    def _stop_the_rest(self) -> None:
        """End whatever else lives in this PID namespace, guests above all; only PID 1 of one may do this."""
        deadline = self._monotonic() + LAST_SECONDS
        _kill(-1, signal.SIGTERM)
        while self._monotonic() < deadline:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                self._sleep(0.05)
        _kill(-1, signal.SIGKILL)


def _kill(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _accepts(path: str) -> bool:
    """Whether somebody listens on the Unix socket `path`; a file left by a killed server does not count."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(path)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return True


def main() -> None:
    """Run the list given as the only argument."""
    config = json.loads(Path(sys.argv[1]).read_text())
    Supervisor(config, monotonic, stamp).run()


if __name__ == "__main__":
    main()
