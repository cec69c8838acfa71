"""Which hosts a machine's package sources and proxies name, and where they are."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

from lazur.lifecycle.mirrors import located, mirrors

FILES = {
    "etc/apt/sources.list": "deb [signed-by=/k] https://deb.example.org/debian main\n# deb http://old.example.org/ x\n",
    "etc/apt/sources.list.d/more.sources": "Types: deb\nURIs: http://mirror.example.org:8080/debian\nSuites: trixie\n",
    "etc/apt/apt.conf.d/95proxy": 'Acquire::http::Proxy "http://user:word@cache.example.org:3142/";\n',
    "home/me/.config/pip/pip.conf": "index-url = https://pypi.example.org/simple\nextra-index-url=https://deb.example.org/x\n",
    "home/me/.npmrc": "registry=https://npm.example.org/\n; registry=https://unused.example.org/\n",
    "srv/pip.conf": "[global]\nindex-url = https://elsewhere.example.org/simple\n",
}
VARIABLES = {
    "HOME": "/home/me",
    "PIP_CONFIG_FILE": "/srv/pip.conf",
    "PIP_INDEX_URL": "https://index.example.org/simple",
    "npm_config_registry": "https://registry.example.org",
    "HTTPS_PROXY": "proxy.example.org:3128",
    "no_proxy": "http://never.example.org",
    "EDITOR": "http://neither.example.org",
}


def test_every_configured_source_and_proxy_is_found_once(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = list(mirrors(VARIABLES, tmp_path))
    assert sorted(found) == [
        ("the apt source", "cache.example.org"),
        ("the apt source", "deb.example.org"),
        ("the apt source", "mirror.example.org"),
        ("the host of $HTTPS_PROXY", "proxy.example.org"),
        ("the host of $PIP_INDEX_URL", "index.example.org"),
        ("the host of $npm_config_registry", "registry.example.org"),
        ("the npm source", "npm.example.org"),
        ("the pip source", "deb.example.org"),
        ("the pip source", "elsewhere.example.org"),
        ("the pip source", "pypi.example.org"),
    ]


def test_a_machine_without_any_has_none(tmp_path: Path) -> None:
    assert list(mirrors({}, tmp_path)) == []
    assert located([]) == []


def test_addresses_are_those_programs_here_would_get() -> None:
    found = located([("the pip source", "localhost"), ("the apt source", "127.0.0.2"), ("the npm source", "nowhere.invalid")])
    assert (IPv4Network("127.0.0.1/32"), "the pip source localhost") in found
    assert (IPv4Network("127.0.0.2/32"), "the apt source 127.0.0.2") in found
    assert not any("nowhere" in what for _, what in found)
