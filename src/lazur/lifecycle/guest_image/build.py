"""Builds the catalogue's tiny image: packages in, `tiny.qcow2` out.

Debian 12's packages are fetched and unpacked, never installed; the few tools needed (grub-mkimage, mke2fs) run from the
unpacked tree through its own loader, so the machine needs mmdebstrap and nothing else. Must never mount anything, touch
a loop device, or change the machine outside the cache.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from lazur.kernel.errors import Evidence, LazurError
from lazur.lifecycle.cache import Cache, digest, remove_tree
from lazur.lifecycle.guest_image.disk import (
    BIOS_BOOT,
    LINUX_ROOT,
    SECTOR,
    Partition,
    install_grub,
    raw_to_qcow2,
    write_gpt,
)
from lazur.lifecycle.guest_image.kernel import ROOT_LISTS, Modules, initramfs, loadable_in_place

Report = Callable[[str], None]

_HERE = Path(__file__).parent
_GUEST = _HERE / "guest"
_CATALOGUE = _HERE / "catalogue.json"

_SUITE = "bookworm"
_MIRRORS = (
    "deb http://deb.debian.org/debian bookworm main",
    "deb http://deb.debian.org/debian-security bookworm-security main",
)
_KERNEL = "linux-image-cloud-amd64"
_PACKAGES = (
    "busybox-static",
    "dropbear-bin",
    "openssh-sftp-server",
    "sudo",
    "e2fsprogs",
    "grub-common",
    "grub-pc-bin",
    # What the programs above are linked with; `_closure` fails loudly when one is missing.
    "libaudit1",
    "libblkid1",
    "libc6",
    "libcap-ng0",
    "libcom-err2",
    "libcrypt1",
    "libdevmapper1.02.1",
    "libext2fs2",
    "libgmp10",
    "liblzma5",
    "libpam-modules",
    "libpam0g",
    "libpcre2-8-0",
    "libselinux1",
    "libtomcrypt1",
    "libtommath1",
    "libudev1",
    "libuuid1",
    "zlib1g",
)
_PROGRAMS = (
    "usr/sbin/dropbear",
    "usr/bin/dropbearkey",
    "usr/lib/openssh/sftp-server",
    "usr/bin/sudo",
    "usr/libexec/sudo/sudoers.so",
    "sbin/resize2fs",
    "sbin/mke2fs",
    "lib/x86_64-linux-gnu/security/pam_permit.so",
)
_FOLDERS = """
    dev proc sys run tmp root home boot mnt opt usr/bin usr/sbin usr/lib64 usr/libexec usr/local/bin
    usr/lib/x86_64-linux-gnu usr/lib/tiny/modules etc/dropbear etc/sudoers.d etc/pam.d
    var/lib/tiny var/lib/waagent var/lib/sudo var/log var/tmp www/cgi-bin
"""
_GRUB_MODULES = ("biosdisk", "part_gpt", "ext2", "linux")
_LIBRARY_FOLDERS = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "usr/libexec/sudo")
_CORE_SECTOR = 2048
_ROOT_SECTOR = 4096


def ensure_tiny_image(cache: Path, report: Report) -> Path:
    """The catalogue's image as a qcow2 file, `<cache>/images/<recipe's hash>/tiny.qcow2`, built if it is not there.

    The packages are cached apart from the image, so that only a change of the package list needs the network. Needs
    root (the files inside belong to root) and mmdebstrap; `report` hears each step. Raises `LazurError` with the tool's
    last words when a step fails; an interrupted build leaves nothing behind that counts.
    """
    entries = Cache(cache)
    recipe = digest(json.dumps((_SUITE, _MIRRORS, _KERNEL, _PACKAGES)))
    sources = sorted([*_HERE.glob("*.py"), *_GUEST.iterdir(), _CATALOGUE])
    key = digest(recipe, *(part for path in sources for part in (path.name, path.read_bytes())))

    def build(place: Path) -> None:
        if os.geteuid() != 0:
            raise LazurError("RootNeeded", "The tiny image is built as root: the files in it belong to root.")
        packages = entries.entry("image-packages", recipe, lambda folder: _fetch(folder, report))
        _build(packages, place, report)

    return entries.entry("images", key, build) / str(json.loads(_CATALOGUE.read_text())["fileName"])


def _build(packages: Path, place: Path, report: Report) -> None:
    catalogue = json.loads(_CATALOGUE.read_text())
    work = place / "work"
    root = work / "root"
    report("tiny image: assembling the root filesystem")
    _assemble(packages, root)
    report("tiny image: writing the disk")
    raw = work / "disk.raw"
    _write_disk(packages, root, raw, int(catalogue["virtualSizeBytes"]))
    raw_to_qcow2(raw, place / catalogue["fileName"])
    remove_tree(work)
    report("tiny image: done")


def _fetch(folder: Path, report: Report) -> None:
    """Download by an apt of the image's own suite and unpack; mmdebstrap gives that apt a place, keys and lists."""
    if shutil.which("mmdebstrap") is None:
        raise LazurError("ToolMissing", "The tiny image is built with mmdebstrap: apt-get install mmdebstrap.")
    report(f"tiny image: fetching {len(_PACKAGES) + 1} packages of Debian 12")
    debs, apt = folder / ".debs", folder / ".apt"
    debs.mkdir()
    kernel = f"$(apt-cache depends {_KERNEL} | sed -n 's/^ *Depends: //p')"
    hook = f'export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"; cd {debs} && apt-get download {" ".join(_PACKAGES)} {kernel}'
    argv = ["mmdebstrap", "--mode=root", "--variant=extract", "--format=directory", f"--extract-hook={hook}"]
    argv += ['--aptopt=Acquire::Retries "3"', '--aptopt=APT::Sandbox::User "root"']
    _run([*argv, _SUITE, str(apt), *_MIRRORS])
    for deb in sorted(debs.glob("*.deb")):
        _run(["dpkg-deb", "--extract", str(deb), str(folder)])
    remove_tree(debs)
    remove_tree(apt)


def _run(argv: Sequence[str]) -> str:
    """Standard output of a build tool; its last words are the evidence when it fails."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        words = (done.stdout + done.stderr).splitlines()[-30:]
        message = f"{Path(argv[0]).name} failed with code {done.returncode} while building the tiny image."
        raise LazurError("ImageBuildFailed", message, info=[Evidence("ToolOutput", words)], status=500)
    return done.stdout


def _loader(packages: Path) -> list[str]:
    """The start of a command line that runs a program with the libraries it was built for."""
    libraries = ":".join(str(packages / folder) for folder in _LIBRARY_FOLDERS)
    return [str(packages / "lib64/ld-linux-x86-64.so.2"), "--library-path", libraries]


def _closure(packages: Path, program: str) -> list[Path]:
    """The shared libraries a program is linked with, as files of the unpacked packages."""
    found = []
    for line in _run([*_loader(packages), "--list", str(packages / program)]).splitlines():
        _, arrow, rest = line.partition(" => ")
        if "not found" in rest:
            raise LazurError("ImageBuildFailed", f"The package list lacks a library of {program}: {line.strip()}", status=500)
        if arrow:
            found.append(Path(rest.split(" (")[0]))
    return found


def _assemble(packages: Path, root: Path) -> None:
    """Lay out the guest's root: merged /usr, busybox under every name, the programs, the modules, our scripts."""
    for name in _FOLDERS.split():
        (root / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    busybox = packages / "bin/busybox"
    shutil.copy(busybox, root / "usr/bin/busybox")
    for applet in _run([str(busybox), "--list"]).split():
        if applet != "busybox":
            (root / "usr/bin" / applet).symlink_to("busybox")
    for name in ("init", "getty", "reboot", "poweroff"):
        (root / "usr/sbin" / name).symlink_to("../bin/busybox")
    for program in _PROGRAMS:
        target = root / program
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        shutil.copy(packages / program, target)
        for library in _closure(packages, program):
            shutil.copy(library, root / "usr/lib/x86_64-linux-gnu" / library.name)
    (root / "usr/bin/sudo").chmod(0o4755)
    (root / "usr/libexec/sftp-server").symlink_to("../lib/openssh/sftp-server")
    (root / "usr/lib/sftp-server").symlink_to("openssh/sftp-server")
    (root / "usr/sbin/mkfs.ext4").symlink_to("mke2fs")
    shutil.copy(packages / "lib64/ld-linux-x86-64.so.2", root / "usr/lib64/ld-linux-x86-64.so.2")
    shutil.copy(packages / "etc/mke2fs.conf", root / "etc/mke2fs.conf")
    _add_modules(packages, root)
    _add_texts(root)


def _add_modules(packages: Path, root: Path) -> None:
    (modules_folder,) = (packages / "lib/modules").iterdir()
    modules = Modules(modules_folder)
    folder = root / "usr/lib/tiny/modules"
    initial = modules.closure(("virtio_pci",))
    for title, names in ROOT_LISTS.items():
        order = modules.closure(names, initial)
        (folder / f"{title}.list").write_text("".join(f"{name}\n" for name in order))
        for name in order:
            (folder / f"{name}.ko").write_bytes(modules.content(name))
    busybox = (packages / "bin/busybox").read_bytes()
    (root / "boot/initrd").write_bytes(initramfs(modules, busybox, (_GUEST / "initramfs-init").read_bytes()))
    (kernel,) = (packages / "boot").glob("vmlinuz-*")
    (root / "boot/vmlinuz").write_bytes(loadable_in_place(kernel.read_bytes()))


def _add_texts(root: Path) -> None:
    texts = {
        "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/bin/nologin\n",
        "etc/group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
        "etc/shadow": "root:*:19000:0:99999:7:::\nnobody:*:19000:0:99999:7:::\n",
        "etc/shells": "/bin/sh\n",
        "etc/hostname": "tiny\n",
        "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
        "etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
        "etc/profile": "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin PS1='\\u@\\h:\\w\\$ '\n",
        "etc/os-release": 'ID=tinylinux\nNAME="Lazur TinyLinux"\nVERSION_ID=1\nPRETTY_NAME="Lazur TinyLinux 1"\n',
        "etc/sudoers": 'Defaults secure_path="/usr/sbin:/usr/bin", !lecture\n@includedir /etc/sudoers.d\n',
        "etc/pam.d/sudo": "".join(f"{kind} sufficient pam_permit.so\n" for kind in ("auth", "account", "session")),
        "www/health": "OK\n",
    }
    for name, text in texts.items():
        (root / name).write_text(text)
    (root / "etc/pam.d/other").write_text(texts["etc/pam.d/sudo"])
    (root / "etc/resolv.conf").symlink_to("/run/resolv.conf")
    (root / "etc/mtab").symlink_to("/proc/mounts")
    (root / "etc/shadow").chmod(0o600)
    (root / "etc/sudoers").chmod(0o440)
    (root / "root").chmod(0o700)
    (root / "tmp").chmod(0o1777)
    (root / "var/tmp").chmod(0o1777)
    shutil.copy(_GUEST / "inittab", root / "etc/inittab")
    shutil.copy(_GUEST / "cgi-health", root / "www/cgi-bin/health")
    (root / "www/cgi-bin/health").chmod(0o755)
    for script in ("boot", "shutdown", "dhcp-event", "online", "provision", "report-health", "xml-split", "hello"):
        shutil.copy(_GUEST / script, root / "usr/lib/tiny" / script)
        (root / "usr/lib/tiny" / script).chmod(0o755)
    power = root / "etc/acpi/PWRF/00000080"
    power.parent.mkdir(parents=True)
    # Straight to the power, past init's two seconds of waiting for processes that are gone already.
    power.write_text("#!/bin/sh\n. /usr/lib/tiny/shutdown\nexec poweroff -f\n")
    power.chmod(0o755)


def _write_disk(packages: Path, root: Path, raw: Path, size: int) -> None:
    sectors = size // SECTOR
    end = (sectors - 34) // 8 * 8
    with raw.open("wb") as disk:
        disk.truncate(size)
    # A journal, no features GRUB 2.06 cannot read, and inode tables that are already zero: nothing is left for later.
    options = f"offset={_ROOT_SECTOR * SECTOR},lazy_itable_init=0,assume_storage_prezeroed=1,nodiscard"
    argv = ["-q", "-F", "-t", "ext4", "-b", "4096", "-L", "lazur-root", "-m", "1", "-J", "size=8", "-E", options]
    argv += ["-O", "^metadata_csum_seed,^orphan_file", "-d", str(root), str(raw), f"{(end - _ROOT_SECTOR) // 2}k"]
    _run([*_loader(packages), str(packages / "sbin/mke2fs"), *argv])
    core = raw.with_name("core.img")
    arguments = ["-d", str(packages / "usr/lib/grub/i386-pc"), "-O", "i386-pc", "-p", "(hd0,gpt1)/boot/grub"]
    arguments += ["-c", str(_GUEST / "grub.cfg"), "-o", str(core), *_GRUB_MODULES]
    _run([*_loader(packages), str(packages / "usr/bin/grub-mkimage"), *arguments])
    with raw.open("r+b") as disk:
        boot = (packages / "usr/lib/grub/i386-pc/boot.img").read_bytes()
        install_grub(disk, boot, core.read_bytes(), _CORE_SECTOR)
        # The root partition comes first in the table and last on the disk, where it can grow.
        root_part = Partition("lazur-root", LINUX_ROOT, _ROOT_SECTOR, end - 1)
        write_gpt(disk, sectors, (root_part, Partition("bios", BIOS_BOOT, _CORE_SECTOR, _ROOT_SECTOR - 1)))
