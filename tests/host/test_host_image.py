"""The host image on this machine: it holds what the roles need, and what is mounted from the cache stays there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lazur.lifecycle.cache import Cache
from lazur.lifecycle.host_image import LIBRARIES, PYTHON, SOURCES, ensure_host_image, package_layer
from lazur.lifecycle.project import cache_root

_LACKS = "needs root" if os.geteuid() else "needs mmdebstrap" if shutil.which("mmdebstrap") is None else ""
pytestmark = pytest.mark.skipif(bool(_LACKS), reason=f"the host image: {_LACKS}")

# Every module a container may be asked to run; the launcher's side of the package never runs there.
_IMPORT_ALL = """
import importlib, pkgutil, lazur
for module in pkgutil.walk_packages(lazur.__path__, "lazur."):
    if not module.name.startswith(("lazur.cli", "lazur.lifecycle")):
        importlib.import_module(module.name)
import ovsdbapp.backend.ovs_idl, ovs._json
"""


@pytest.fixture(scope="module")
def image() -> Path:
    """The image, built now if the cache has it not."""
    return ensure_host_image(cache_root(), lambda line: print(line, file=sys.stderr))


@pytest.mark.parametrize(
    "program", ["ovs-vswitchd", "ovsdb-server", "ovn-northd", "ovn-controller", "ovn-nbctl", "qemu-system-x86_64", "nft"]
)
def test_it_has_the_programs_of_the_roles(image: Path, program: str) -> None:
    shown = subprocess.run(["chroot", image, program, "--version"], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr


def test_it_is_of_no_machine(image: Path) -> None:
    assert (image / "etc/machine-id").read_text() == (image / "etc/resolv.conf").read_text() == ""
    assert not list((image / "var/lib/apt/lists").glob("*Packages")) and not list(image.glob("etc/ssh/ssh_host_*"))
    mount_points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    assert not [point for point in mount_points if point.startswith(str(image))]


def test_every_role_module_loads_on_the_images_own_python(image: Path) -> None:
    layer = package_layer(cache_root())
    script = (
        'mount -t overlay overlay -o lowerdir="$1:$2" "$3" && mount -t proc proc "$3/proc" && '
        'exec chroot "$3" /usr/bin/env PYTHONPATH="$4" PYTHONDONTWRITEBYTECODE=1 "$5" -c "$6"'
    )
    place = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    try:
        arguments = [str(layer), str(image), str(place), f"/{LIBRARIES}:/{SOURCES}", f"python{PYTHON}", _IMPORT_ALL]
        loaded = subprocess.run(
            ["unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        place.rmdir()
    assert loaded.returncode == 0, loaded.stderr


def test_the_layer_follows_the_sources_and_is_compiled(image: Path) -> None:
    layer = package_layer(cache_root())
    assert package_layer(cache_root()) == layer
    package = layer / SOURCES / "lazur"
    assert (package / "kernel/clock.py").is_file() and not list(package.rglob("tests"))
    assert (package / f"kernel/__pycache__/clock.cpython-{PYTHON.replace('.', '')}.pyc").is_file()


_PRUNE = """
import subprocess, sys
from pathlib import Path
from lazur.lifecycle.cache import Cache, remove_tree
root = Path(sys.argv[1])
cache = Cache(root, keep=1)
held = cache.entry("kind", "held", lambda folder: (folder / "f").write_text("x"))
place = root / "place"
place.mkdir()
other = cache.entry("other", "base", lambda folder: None)
subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={held}:{other}", place], check=True)
cache.entry("kind", "next", lambda folder: None)
assert (held / "f").exists(), "a mounted entry was pruned"
subprocess.run(["mount", "-t", "tmpfs", "none", other], check=True)
try:
    remove_tree(other)
except RuntimeError:
    sys.exit(0)
sys.exit("a tree with a mount in it was removed")
"""


def test_what_is_mounted_is_not_removed(tmp_path: Path) -> None:
    argv = ["unshare", "--mount", "--propagation=private", sys.executable, "-c", _PRUNE, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    Cache(tmp_path, keep=1).entry("kind", "last", lambda folder: None)
    assert not (tmp_path / "kind" / "held").exists()
