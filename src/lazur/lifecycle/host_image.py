"""The host image: the Debian 13 root every container of the rack runs from, and the layer that puts this package on it.

The root depends only on the recipe below and on requirements.lock, the package layer only on the sources, so an edit of
the sources costs no rebuild. Must never start a daemon and never write outside the cache.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from lazur.kernel.errors import LazurError
from lazur.lifecycle.cache import Cache, digest
from lazur.lifecycle.project import ROOT
from lazur.lifecycle.tool import Report, run_tool

PYTHON = "3.13"
"""The image's Python, Debian 13's own."""

LIBRARIES = Path("opt/lazur/lib")
"""Where the image keeps the Python dependencies of the roles."""

SOURCES = Path("opt/lazur/src")
"""Where the package layer puts the `lazur` package."""

_SUITE = "trixie"
_MIRRORS = (
    "deb http://deb.debian.org/debian trixie main",
    "deb http://deb.debian.org/debian trixie-updates main",
    "deb http://deb.debian.org/debian-security trixie-security main",
)
_PACKAGES = (
    "python3",
    "qemu-system-x86",
    "qemu-utils",
    "openvswitch-switch",
    "ovn-host",
    "ovn-central",
    "python3-openvswitch",
    "python3-ovsdbapp",
    "frr",
    "iproute2",
    "nftables",
    "conntrack",
    "procps",
    "kmod",
    "ca-certificates",
    "openssl",
    "openssh-client",
    "tcpdump",
    "ethtool",
    "iputils-ping",
    "curl",
)
_EXCLUDED = ("/usr/share/man/*", "/usr/share/info/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/lintian/*")
# Whatever was copied from the machine that builds, is of one host only, or can be made again.
_LEFTOVERS = (
    "etc/hostname",
    "etc/resolv.conf",
    "etc/ssh/ssh_host_*",
    "etc/openvswitch/conf.db",
    "etc/openvswitch/system-id.conf",
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/dpkg/dpkg.cfg.d/99mmdebstrap",
    "var/lib/apt/lists",
    "var/cache/apt",
    "var/cache/debconf/*-old",
    "var/log/*.log",
    "var/log/apt",
)
_PLATFORMS = ("manylinux_2_34_x86_64", "manylinux_2_28_x86_64", "manylinux2014_x86_64", "manylinux_2_17_x86_64")
# Bump when the steps in this module change what they produce.
_STEPS = "1"


def ensure_host_image(cache: Path, report: Report) -> Path:
    """The unpacked root of the host image, built if the cache has none for this recipe; `report` hears each step.

    Needs root and mmdebstrap. Raises `LazurError` with the tool's last words when a step fails; nothing half-made stays.
    """
    return Cache(cache).entry("host-image", _image_key(), lambda root: _build(root, report))


def package_layer(cache: Path) -> Path:
    """A read-only overlay layer that holds this package's sources, compiled by the host image's own Python.

    The host image must be there (`ensure_host_image`).
    """
    image = Cache(cache).path("host-image", _image_key())
    if not image.is_dir():
        raise LazurError("HostImageMissing", "The host image is not built yet; `./lazur up` builds it.")
    package = ROOT / "src" / "lazur"
    files = {path.relative_to(package): path.read_bytes() for path in _package_files(package)}
    key = digest(_image_key(), *(part for name in sorted(files) for part in (str(name), files[name])))

    def build(layer: Path) -> None:
        for name, data in files.items():
            target = layer / SOURCES / "lazur" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        _compile(image, layer, SOURCES)

    return Cache(cache).entry("package", key, build)


def _package_files(package: Path) -> list[Path]:
    """Every file the package is made of, its tests left out."""
    return [p for p in package.rglob("*") if p.is_file() and not {"__pycache__", "tests"} & set(p.relative_to(package).parts)]


def _image_key() -> str:
    recipe = (_STEPS, _SUITE, PYTHON, _MIRRORS, _PACKAGES, _EXCLUDED, _LEFTOVERS, _PLATFORMS)
    return digest(json.dumps(recipe), (ROOT / "requirements.lock").read_bytes())


def _build(root: Path, report: Report) -> None:
    if shutil.which("mmdebstrap") is None:
        raise LazurError("ToolMissing", "The host image is built with mmdebstrap: apt-get install mmdebstrap.")
    report(f"host image: Debian 13 with QEMU, OVS, OVN and FRR ({len(_PACKAGES)} packages and what they need)")
    _bootstrap(root, report)
    report("host image: Python dependencies of the roles")
    _install_libraries(root, report)
    _compile(root, root, LIBRARIES)
    _clean(root)
    report("host image: done")


def _bootstrap(root: Path, report: Report) -> None:
    options = [f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED]
    # Licences stay, and what is thrown away on a crash need not be flushed file by file.
    options += ["--dpkgopt=path-include=/usr/share/doc/*/copyright", "--dpkgopt=force-unsafe-io"]
    options += ['--aptopt=APT::Install-Recommends "false"', '--aptopt=Acquire::Retries "3"']
    # Its mounts and processes live in namespaces of their own and so end with this process, however it ends.
    argv = ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "--mount-proc", "mmdebstrap"]
    argv += ["--mode=root", "--variant=minbase", "--format=directory", f"--include={','.join(_PACKAGES)}", *options]
    run_tool([*argv, _SUITE, str(root), *_MIRRORS], lambda line: report(f"host image: {line}"))


def _install_libraries(root: Path, report: Report) -> None:
    platforms = [f"--platform={name}" for name in _PLATFORMS]
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--no-input", "--disable-pip-version-check"]
    argv += ["--root-user-action=ignore", "--require-hashes", "--only-binary=:all:", "--no-deps"]
    argv += ["--implementation=cp", f"--python-version={PYTHON}", *platforms, f"--target={root / LIBRARIES}"]
    run_tool([*argv, f"--requirement={ROOT / 'requirements.lock'}"])


def _compile(image: Path, tree: Path, folder: Path) -> None:
    """Write the bytecode of `tree/folder` with the Python of `image`, which is started through the image's own loader.

    Bytecode is trusted unchecked: a layer never changes once it is made.
    """
    libraries = f"{image}/usr/lib/x86_64-linux-gnu"
    argv = [f"{image}/usr/lib64/ld-linux-x86-64.so.2", "--library-path", libraries, f"{image}/usr/bin/python{PYTHON}"]
    argv += ["-I", "-m", "compileall", "-qq", "--invalidation-mode=unchecked-hash", "-s", str(tree), "-p", "/"]
    run_tool([*argv, str(tree / folder)])


def _clean(root: Path) -> None:
    for pattern in _LEFTOVERS:
        for path in root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    for folder in ("var/lib/apt/lists/partial", "var/cache/apt/archives/partial"):
        (root / folder).mkdir(parents=True)
    # Empty, not absent: each container is given an identity of its own.
    (root / "etc/machine-id").write_text("")
    (root / "etc/hostname").write_text("lazur\n")
    (root / "etc/resolv.conf").write_text("")
