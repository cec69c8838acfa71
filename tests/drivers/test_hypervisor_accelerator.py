"""KVM only where a guest was seen to boot with it."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence
from pathlib import Path

from lazur.drivers.hypervisor.accelerator import Probe
from lazur.kernel.clock import SystemClock
from tests.drivers import tools


def ask(folder: Path, command: Sequence[str], device: Path = Path("/dev/null")) -> str:
    images = folder / "images"
    images.mkdir(exist_ok=True)
    if not (images / "tiny-test.qcow2").exists():
        (images / "tiny-test.qcow2").symlink_to(tools.tiny_image())
    # Emulated, and on a busy machine, a boot takes longer than one by KVM may.
    probe = Probe(command, tools.environment(), folder / "verdict", images, device, patience=300.0)
    return asyncio.run(probe.accelerator(SystemClock()))


def emulating(folder: Path) -> Sequence[str]:
    """QEMU for which "kvm" means TCG: a machine on which KVM works, wherever this test runs."""
    script = folder / "qemu"
    script.write_text(
        '#!/bin/bash\nfor word; do case $word in kvm) word=tcg ;; host) word=max ;; esac; words+=("$word"); done\n'
        f'exec {shlex.join(tools.command("qemu-system-x86_64"))} "${{words[@]}}"\n'
    )
    script.chmod(0o755)
    return (str(script),)


def test_a_guest_that_boots_proves_it_and_the_answer_is_kept(tmp_path: Path) -> None:
    assert ask(tmp_path, emulating(tmp_path)) == "kvm"
    assert ask(tmp_path, ("/bin/false",)) == "kvm"


def test_a_guest_that_does_not_boot_means_emulation(tmp_path: Path) -> None:
    assert ask(tmp_path, ("/bin/false",)) == "tcg"
    assert ask(tmp_path, emulating(tmp_path)) == "tcg"


def test_without_the_device_nothing_is_tried(tmp_path: Path) -> None:
    assert ask(tmp_path, ("/bin/false",), tmp_path / "missing") == "tcg"
    assert not (tmp_path / "verdict").exists()


def test_an_answer_from_before_the_last_boot_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "verdict").write_text('{"accelerator": "kvm", "boot": "another"}')
    assert ask(tmp_path, ("/bin/false",)) == "tcg"
