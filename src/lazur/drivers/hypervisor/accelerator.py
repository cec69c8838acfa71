"""Which accelerator machines get: KVM only where a guest was seen to boot with it.

`/dev/kvm` may exist and still hang every guest, so its presence proves nothing. Must never leave the probe's process
behind, nor write to the image it boots.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lazur.kernel.clock import Clock
from lazur.kernel.log import logger

BOOT_LIMIT_SECONDS = 20.0
"""A guest that has not reached its own user space by then does not run with KVM."""

_SIGN = b"login:"
"""What the tiny image's console says at the end of its boot, also without a network."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_log = logger("drivers.hypervisor.accelerator")


@dataclass(frozen=True)
class Probe:
    """How to find out. `verdict` keeps the answer until the machine boots again; `images` is the catalogue's folder."""

    command: Sequence[str]
    environment: Mapping[str, str] | None
    verdict: Path
    images: Path
    device: Path = Path("/dev/kvm")
    patience: float = BOOT_LIMIT_SECONDS

    async def accelerator(self, clock: Clock) -> str:
        """"kvm" or "tcg". Boots a guest the first time; later answers come from `verdict`."""
        if not self.device.exists():
            return "tcg"
        known = self._known()
        if known is not None:
            return known
        image = next(iter(sorted(self.images.glob("tiny*.qcow2"))), None)
        if image is None:
            return "tcg"
        answer = "kvm" if await self._boots(image, clock) else "tcg"
        _log.info("accelerator_probed", accelerator=answer, image=image.name)
        self.verdict.parent.mkdir(parents=True, exist_ok=True)
        content = json.dumps({"accelerator": answer, "boot": _BOOT_ID.read_text().strip()})
        temporary = self.verdict.with_suffix(".new")
        temporary.write_text(content)
        temporary.rename(self.verdict)
        return answer

    def _known(self) -> str | None:
        try:
            verdict = json.loads(self.verdict.read_text())
            if verdict["boot"] == _BOOT_ID.read_text().strip() and verdict["accelerator"] in ("kvm", "tcg"):
                return str(verdict["accelerator"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return None

    async def _boots(self, image: Path, clock: Clock) -> bool:
        with tempfile.TemporaryDirectory(prefix="lazur-kvm-") as folder:
            serial = Path(folder) / "serial.log"
            process = await asyncio.create_subprocess_exec(
                *self.command,
                *("-accel", "kvm", "-machine", "q35", "-cpu", "host", "-m", "256M", "-nodefaults", "-display", "none"),
                *("-snapshot", "-drive", f"file={image},format=qcow2,if=virtio", "-serial", f"file:{serial}"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env=dict(self.environment) if self.environment is not None else None,
            )
            deadline = clock.monotonic() + self.patience
            try:
                while process.returncode is None and clock.monotonic() < deadline:
                    if serial.exists() and _SIGN in serial.read_bytes():
                        return True
                    await clock.sleep(0.25)
                return False
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()
