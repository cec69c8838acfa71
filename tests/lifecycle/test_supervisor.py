"""The supervisor keeps its services up, whatever ends them, and stops them in reverse order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lazur.lifecycle.project import ROOT

PATIENCE = 30.0


class Running:
    """A supervisor of `services` in a folder of its own."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.process = process

    def services(self) -> dict[str, dict[str, Any]]:
        try:
            found: dict[str, dict[str, Any]] = json.loads((self.folder / "status").read_text())["services"]
        except FileNotFoundError:
            return {}
        return found

    def until(self, condition: Callable[[dict[str, dict[str, Any]]], bool]) -> dict[str, dict[str, Any]]:
        deadline = time.monotonic() + PATIENCE
        while not condition(services := self.services()):
            assert time.monotonic() < deadline, services
            time.sleep(0.02)
        return services

    def log(self, name: str) -> str:
        path = self.folder / "logs" / f"{name}.log"
        return path.read_text() if path.exists() else ""


@contextmanager
def _supervised(folder: Path, services: list[dict[str, Any]], **extra: Any) -> Iterator[Running]:
    places = {"logs": str(folder / "logs"), "status": str(folder / "status"), "hold": str(folder / "hold")}
    (folder / "list.json").write_text(json.dumps({"services": services, **places, **extra}))
    argv = [sys.executable, "-P", "-S", "-m", "lazur.lifecycle.supervisor", str(folder / "list.json")]
    process = subprocess.Popen(argv, env={**os.environ, "PYTHONPATH": str(ROOT / "src")})
    try:
        yield Running(folder, process)
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0


def _shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def _ready(*names: str) -> Callable[[dict[str, dict[str, Any]]], bool]:
    return lambda services: all(services.get(name, {}).get("state") == "ready" for name in names)


def test_a_killed_service_comes_back_with_its_setup_and_hooks(tmp_path: Path) -> None:
    service = {
        "name": "one",
        "argv": ["sleep", "1000"],
        "setup": [_shell("echo setup")],
        "started": [_shell("echo started")],
    }
    with _supervised(tmp_path, [service]) as running:
        first = running.until(_ready("one"))["one"]["pid"]
        os.kill(first, signal.SIGKILL)
        again = running.until(lambda s: s["one"]["restarts"] == 1 and s["one"]["state"] == "ready")["one"]
        assert again["pid"] != first and again["lastExit"] == "signal 9"
        assert running.log("one").split() == ["setup", "started"] * 2


def test_services_start_when_what_they_wait_for_is_ready(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    services: list[dict[str, Any]] = [
        {"name": "first", "argv": ["sleep", "1000"], "ready": {"command": ["test", "-e", str(gate)]}},
        {"name": "second", "argv": _shell(f"test -e {gate} && echo later; exec sleep 1000"), "after": ["first"]},
    ]
    with _supervised(tmp_path, services) as running:
        running.until(lambda s: s.get("first", {}).get("state") == "starting")
        assert running.services()["second"]["state"] == "waiting"
        gate.touch()
        running.until(_ready("first", "second"))
        assert running.log("second") == "later\n"


def test_a_socket_left_by_a_killed_server_is_not_ready(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    listen = f"import socket,time;s=socket.socket(socket.AF_UNIX);s.bind('{path}');s.listen();time.sleep(1000)"
    only_bound = listen.replace("s.listen();", "")
    second = f'rm -f {path}; exec {sys.executable} -c "{listen}"'
    script = f'[ -e {tmp_path}/once ] && {{ {second}; }}; touch {tmp_path}/once; exec {sys.executable} -c "{only_bound}"'
    with _supervised(tmp_path, [{"name": "one", "argv": _shell(script), "ready": {"socket": str(path)}}]) as running:
        running.until(lambda s: s.get("one", {}).get("state") == "starting" and path.exists())
        os.kill(running.services()["one"]["pid"], signal.SIGKILL)
        assert running.until(_ready("one"))["one"]["restarts"] == 1


def test_a_service_that_cannot_start_does_not_hold_up_the_others(tmp_path: Path) -> None:
    services: list[dict[str, Any]] = [{"name": "broken", "argv": ["/nowhere"]}, {"name": "sound", "argv": ["sleep", "1000"]}]
    with _supervised(tmp_path, services) as running:
        found = running.until(lambda s: _ready("sound")(s) and s["broken"]["restarts"] > 2)
        assert found["broken"]["lastExit"] == "exit 127"
        assert "/nowhere cannot be started" in running.log("broken")


def test_services_stop_in_reverse_order(tmp_path: Path) -> None:
    order = tmp_path / "order"
    trap = "trap 'echo {0} >> {1}; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    services = [{"name": name, "argv": _shell(trap.format(name, order))} for name in ("a", "b", "c")]
    with _supervised(tmp_path, services) as running:
        running.until(lambda s: all(running.log(name) for name in ("a", "b", "c")))
    assert order.read_text().split() == ["c", "b", "a"]
    assert {s["state"] for s in running.services().values()} == {"stopped"}


def test_what_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    stubborn = {"name": "one", "argv": _shell("trap '' TERM; echo up; while :; do sleep 0.05; done"), "stopSeconds": 0.2}
    with _supervised(tmp_path, [stubborn]) as running:
        running.until(lambda s: bool(running.log("one")))
        pid = running.services()["one"]["pid"]
    assert not Path(f"/proc/{pid}").exists()


def test_a_held_service_stays_down_until_it_is_let_go(tmp_path: Path) -> None:
    with _supervised(tmp_path, [{"name": "one", "argv": ["sleep", "1000"]}]) as running:
        pid = running.until(_ready("one"))["one"]["pid"]
        (tmp_path / "hold").write_text("one")
        os.kill(pid, signal.SIGKILL)
        running.until(lambda s: s["one"]["state"] == "backoff")
        time.sleep(1.5)
        assert running.services()["one"]["state"] == "backoff"
        (tmp_path / "hold").write_text("")
        running.until(_ready("one"))


def test_a_large_log_is_put_aside_while_its_writer_goes_on(tmp_path: Path) -> None:
    script = "while :; do echo 0123456789012345678901234567890123456789; sleep 0.001; done"
    with _supervised(tmp_path, [{"name": "one", "argv": _shell(script)}], logBytes=2000) as running:
        aside = tmp_path / "logs" / "one.log.1"
        running.until(lambda s: aside.exists())
        assert aside.stat().st_size >= 2000
        running.until(lambda s: running.log("one") != "")
