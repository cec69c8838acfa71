"""One container of the rack: an overlay of the host image, started by runc in its own namespaces.

Its root is thrown away and made anew at each start; whatever must last is mounted from the state folder. Must never
share a writable path with another container but the pool of disks, and must cope with whatever a killed run, a reboot
or a damaged state left.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lazur.kernel.errors import Evidence, LazurError
from lazur.lifecycle.rack import layout, processes
from lazur.lifecycle.rack.commands import run

_CAPABILITIES = (
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_ADMIN",
    "CAP_SYS_CHROOT",
    "CAP_SYS_NICE",
    "CAP_SYS_PTRACE",
    "CAP_IPC_LOCK",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_SETUID",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_KILL",
    "CAP_MKNOD",
)
# /proc/sys/net is the container's own; the rest of it is the machine's.
_READ_ONLY = ("bus", "fs", "irq", "sysrq-trigger", "sys/abi", "sys/debug", "sys/dev", "sys/fs", "sys/kernel", "sys/vm")
_MASKED = ("kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "scsi")
_ENVIRONMENT = (f"PATH={layout.SEARCH_PATH}", "LANG=C.UTF-8", "HOME=/root", f"PYTHONPATH={layout.PYTHONPATH}")
_DEVICES = ("/dev/net/tun", "/dev/kvm")
# PID 1 stops its services one after the other, and guests flush their disks last.
STOP_SECONDS = 25.0


@dataclass(frozen=True)
class Mount:
    """A folder of the machine seen inside the container."""

    source: Path
    target: str
    writable: bool = True


@dataclass(frozen=True)
class Recipe:
    """Everything a container is made of. Equal recipes give equal containers, so a running one is kept."""

    name: str
    lowers: tuple[Path, ...]
    """Read-only layers, topmost first."""
    files: Mapping[str, str]
    """Files written into the fresh root: path inside to text."""
    mounts: tuple[Mount, ...]
    argv: tuple[str, ...]

    def config(self, root: Path) -> dict[str, Any]:
        """The OCI runtime's configuration."""
        capabilities = {kind: list(_CAPABILITIES) for kind in ("bounding", "effective", "permitted")}
        devices = [device for device in map(_device, _DEVICES) if device]
        return {
            "ociVersion": "1.0.2",
            "hostname": self.name,
            "root": {"path": str(root), "readonly": False},
            "process": {
                "terminal": False,
                "user": {"uid": 0, "gid": 0},
                "args": list(self.argv),
                "env": [*_ENVIRONMENT],
                "cwd": "/",
                "capabilities": {**capabilities, "inheritable": [], "ambient": []},
                "noNewPrivileges": False,
            },
            "mounts": [*_SYSTEM_MOUNTS, *(_bind(mount) for mount in self.mounts)],
            "linux": {
                "cgroupsPath": f"/{layout.CGROUP}/{self.name}",
                "namespaces": [
                    *({"type": kind} for kind in ("pid", "ipc", "uts", "mount", "cgroup")),
                    {"type": "network", "path": str(layout.NETNS / layout.netns(self.name))},
                ],
                "devices": devices,
                "resources": {"devices": [{"allow": True, "access": "rwm"}]},
                "maskedPaths": [f"/proc/{path}" for path in _MASKED],
                "readonlyPaths": [f"/proc/{path}" for path in _READ_ONLY],
            },
        }

    def fingerprint(self) -> str:
        """The same for the same recipe."""
        parts = [self.config(Path("/")), dict(self.files), list(map(str, self.lowers))]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class Container:
    """The container `name` with its folders under `paths`."""

    def __init__(self, name: str, paths: layout.Paths) -> None:
        self.name = name
        self._paths = paths
        self._folder = paths.container(name)
        self._root = self._folder / "root"
        self._bundle = self._folder / "bundle"

    @property
    def state(self) -> Path:
        """What it sees as `/var/lib/lazur/<kind>`."""
        return self._paths.role_state(self.name)

    @property
    def logs(self) -> Path:
        """What it sees as `/var/log/lazur`."""
        return self._paths.logs(self.name)

    @property
    def runtime(self) -> Path:
        """What it sees as `/run/lazur`."""
        return self._paths.run(self.name)

    def pid(self) -> int:
        """Its first process as the machine numbers it; 0 when it does not run."""
        try:
            record = json.loads((self._paths.oci / self.name / "state.json").read_text())
            pid, started = int(record["init_process_pid"]), int(record["init_process_start"])
        except (OSError, ValueError, KeyError):
            return 0
        # After a reboot another process may carry the number.
        return pid if processes.started(pid) == started else 0

    def current(self, recipe: Recipe) -> bool:
        """Whether it runs and was made from just this recipe."""
        try:
            made_from = (self._folder / "fingerprint").read_text()
        except OSError:
            return False
        return self.pid() != 0 and made_from == recipe.fingerprint()

    def start(self, recipe: Recipe) -> None:
        """Make it from `recipe`, replacing whatever is there of it. Its first process runs when this returns."""
        self.remove()
        for folder in (self._root, self._bundle, self.state, self.logs, self.runtime):
            folder.mkdir(parents=True, exist_ok=True)
        self._mount(recipe)
        (self._bundle / "config.json").write_text(json.dumps(recipe.config(self._root), indent=1))
        console = self.logs / "console.log"
        self._paths.oci.mkdir(parents=True, exist_ok=True, mode=0o700)
        argv = ["runc", "--root", self._paths.oci, "run", "--detach", "--no-new-keyring", "--bundle", self._bundle, self.name]
        with console.open("wb") as output:
            done = subprocess.run(
                list(map(str, argv)), stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False, timeout=60
            )
        if done.returncode != 0:
            raise LazurError(
                "ContainerStartFailed",
                f"{self.name} cannot be started: runc ended with {done.returncode}.",
                info=[Evidence("Output", console.read_text(errors="replace").splitlines()[-20:])],
                status=500,
            )
        (self._folder / "fingerprint").write_text(recipe.fingerprint())

    def _mount(self, recipe: Recipe) -> None:
        upper, work = self._folder / "upper", self._folder / "work"
        for folder in (upper, work):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        # overlayfs takes the root's own permissions from the upper layer.
        upper.chmod(0o755)
        for inside, text in recipe.files.items():
            target = upper / inside.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        lower = ":".join(map(str, recipe.lowers))
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        run(["mount", "-t", "overlay", "overlay", "-o", options, self._root])

    def run(
        self, argv: Sequence[str], *, stdin: str | None = None, check: bool = True, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run `argv` inside and return what it said; see `commands.run`."""
        pid = self.pid()
        if not pid:
            raise LazurError("ContainerNotRunning", f"{self.name} does not run; `lazur up` starts it.", status=500)
        enter = ["nsenter", "-t", str(pid), "-m", "-u", "-i", "-n", "-p", "--", "env", "-i"]
        return run([*enter, *_ENVIRONMENT, *argv], stdin=stdin, check=check, timeout=timeout)

    def services(self) -> dict[str, dict[str, Any]]:
        """How each service does: state, pid inside, restarts, since, lastExit. Empty when it does not run."""
        try:
            document = json.loads((self.runtime / layout.STATUS_FILE).read_text())
        except (OSError, ValueError):
            return {}
        services: dict[str, dict[str, Any]] = document["services"]
        return services if self.pid() else {}

    def hold(self, services: Sequence[str]) -> None:
        """Do not start these again once they end; an empty list lets go. For tests of what survives their absence."""
        (self.runtime / layout.HOLD_FILE).write_text("\n".join(services))

    def kill(self, service: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to the process of `service`; its pid inside, 0 when it did not run."""
        pid = int(self.services().get(service, {}).get("pid", 0))
        if pid:
            self.run(["/bin/kill", f"-{number}", str(pid)])
        return pid

    def stop(self) -> None:
        """End it: PID 1 stops its services in reverse order; what is left after `STOP_SECONDS` is killed."""
        pid = self.pid()
        if pid:
            processes.end(pid, STOP_SECONDS)
        if (self._paths.oci / self.name).exists():
            run(["runc", "--root", self._paths.oci, "delete", "--force", self.name], check=False)
            shutil.rmtree(self._paths.oci / self.name, ignore_errors=True)
        processes.end_cgroup(f"{layout.CGROUP}/{self.name}")
        if self.runtime.exists():
            shutil.rmtree(self.runtime)

    def remove(self) -> None:
        """Stop it and take its root away; state, logs and disks stay."""
        self.stop()
        processes.unmount_below(self._folder)
        (self._folder / "fingerprint").unlink(missing_ok=True)
        for folder in (self._root, self._bundle, self._folder / "upper", self._folder / "work"):
            shutil.rmtree(folder, ignore_errors=True)


_SYSTEM_MOUNTS: list[dict[str, Any]] = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {
        "destination": "/dev",
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
        "destination": "/dev/pts",
        "type": "devpts",
        "source": "devpts",
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
    },
    {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777"]},
    {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
    {"destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=755"]},
    {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"]},
]


def _bind(mount: Mount) -> dict[str, Any]:
    options = ["bind", "rprivate", "nosuid", "nodev", "rw" if mount.writable else "ro"]
    return {"destination": mount.target, "type": "bind", "source": str(mount.source), "options": options}


def _device(path: str) -> dict[str, Any] | None:
    """The device as the machine has it; a machine without KVM runs guests in software."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    if not stat.S_ISCHR(status.st_mode):
        return None
    major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    return {"path": path, "type": "c", "major": major, "minor": minor, "fileMode": 0o666}
