"""Where this machine gets its packages: hosts of the configured apt, pip and npm sources and of its proxies.

A rack that took the address of one of them would cut the machine off from it. Must never fetch anything: the operator's
files and variables are read, and the names found there looked up.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from ipaddress import IPv4Network
from pathlib import Path

_PATIENCE = "5s"
_HOST = re.compile(r"(?:https?|ftp|socks[45]h?)://(?:[^/@\s\"']*@)?([A-Za-z0-9._-]+)")
_FILES: Mapping[str, tuple[str, ...]] = {
    "apt": (
        "/etc/apt/sources.list", "/etc/apt/sources.list.d/*.list", "/etc/apt/sources.list.d/*.sources", "/etc/apt/apt.conf",
        "/etc/apt/apt.conf.d/*",
    ),
    "pip": ("/etc/pip.conf", "/etc/xdg/pip/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf", "$PIP_CONFIG_FILE"),
    "npm": ("/etc/npmrc", "/usr/etc/npmrc", "~/.npmrc", "$NPM_CONFIG_USERCONFIG"),
}  # fmt: skip
_VARIABLES: Mapping[str, re.Pattern[str]] = {
    "pip": re.compile(r"PIP_(INDEX_URL|EXTRA_INDEX_URL|FIND_LINKS|PROXY)"),
    "npm": re.compile(r"npm_config_(\w*registry|\w*proxy)", re.IGNORECASE),
    "proxy": re.compile(r"(http|https|ftp|all)_proxy", re.IGNORECASE),
}


def mirrors(environment: Mapping[str, str], root: Path = Path("/")) -> Iterator[tuple[str, str]]:
    """Every host in the sources' files below `root` and in the variables of `environment`, with what it is; each once."""
    seen: set[tuple[str, str]] = set()
    for found in (*_in_files(environment, root), *_in_variables(environment)):
        if found not in seen:
            seen.add(found)
            yield found


def located(hosts: Iterable[tuple[str, str]]) -> list[tuple[IPv4Network, str]]:
    """The addresses of `mirrors`, with what has them. Names that are not found in time are left out."""
    known = list(hosts)
    found = addresses({host for _, host in known})
    return [(IPv4Network(address), f"{what} {host}") for what, host in known for address in found[host]]


def addresses(hosts: Collection[str]) -> dict[str, list[str]]:
    """The IPv4 addresses of every host, asked for all at once and as this machine's programs ask."""
    with ExitStack() as asking:
        asked = {host: asking.enter_context(_asked(host)) for host in sorted(hosts)}
        said = {host: process.communicate()[0] for host, process in asked.items()}
    return {host: sorted({line.split()[0] for line in text.splitlines() if line.strip()}) for host, text in said.items()}


def _asked(host: str) -> subprocess.Popen[str]:
    command = ["timeout", _PATIENCE, "getent", "ahostsv4", host]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True)


def _in_files(environment: Mapping[str, str], root: Path) -> Iterator[tuple[str, str]]:
    names = {"~": environment.get("HOME", "/root"), **{f"${k}": v for k, v in environment.items() if v.startswith("/")}}
    for what, patterns in _FILES.items():
        for pattern in patterns:
            first, slash, rest = pattern.partition("/")
            place = names.get(first, first) + slash + rest
            for file in sorted(root.glob(place.lstrip("/"))) if place.startswith("/") else ():
                for line in _lines(file):
                    yield from ((f"the {what} source", host) for host in _HOST.findall(line))


def _lines(file: Path) -> Iterator[str]:
    try:
        text = file.read_text(errors="replace")
    except OSError:
        return
    yield from (line for line in text.splitlines() if not line.lstrip().startswith(("#", "//", ";")))


def _in_variables(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in sorted(environment.items()):
        for what, pattern in _VARIABLES.items():
            if pattern.fullmatch(name):
                # A proxy may be written without its scheme; an index or registry may not.
                text = f"http://{value}" if what == "proxy" and value and "://" not in value else value
                yield from ((f"the host of ${name}", host) for host in _HOST.findall(text))
