"""The pre-checks decide rightly from given facts, and say what was found, what is needed and what accepts it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from lazur.kernel.errors import LazurError
from lazur.lifecycle.checks import CHECKS, Facts, Finding, probe, refuse, run_checks
from lazur.lifecycle.project import ROOT
from lazur.lifecycle.site import Profile, Site

STATE = Path("/var/lib/lazur")
SITE = Site.load(ROOT / "sites" / "laptop.yaml")
ENOUGH = Facts(
    root=True,
    cores=64,
    memory_mib=1 << 20,
    disk_gib={STATE: 1000},
    lacking={},
    routes=[(IPv4Network("192.0.2.0/24"), "eth0")],
    mirrors=[(IPv4Network("192.0.2.80/32"), "the apt source deb.example.org")],
    hosts_file_writable=True,
)


def _found(facts: Facts, profile: Profile = "laptop", accepted: tuple[str, ...] = ()) -> list[Finding]:
    return run_checks(SITE, profile, accepted, places=[STATE], facts=facts)


def test_enough_of_everything_passes() -> None:
    assert [_found(ENOUGH, profile) for profile in ("laptop", "lab", "rack")] == [[], [], []]


@pytest.mark.parametrize(
    ("facts", "check", "said"),
    [
        (replace(ENOUGH, cores=1), "cores", ("1 cores", "2 for 2 hosts", "laptop")),
        (replace(ENOUGH, memory_mib=2047), "memory", ("2047 MiB", "2048 MiB")),
        (replace(ENOUGH, disk_gib={STATE: 7}), "disk", ("7 GiB free for /var/lib/lazur", "8 GiB")),
        (replace(ENOUGH, lacking={"veth": "Operation not supported"}), "kernel", ("no veth", "not supported")),
        (replace(ENOUGH, routes=[(IPv4Network("10.0.0.0/8"), "tun0")]), "routes", ("10.0.0.0/8 on tun0", "10.239.0.0/24")),
        (replace(ENOUGH, routes=[(IPv4Network("198.51.100.7/32"), "eth9")]), "routes", ("198.51.100.7/32 on eth9", "public")),
        (
            replace(ENOUGH, mirrors=[(IPv4Network("10.239.1.9/32"), "the pip source pypi.example.org")]),
            "mirrors",
            ("the pip source pypi.example.org at 10.239.1.9", "infrastructure network 10.239.1.0/24"),
        ),
        (replace(ENOUGH, hosts_file_writable=False), "hosts-file", ("read-only", "writable /etc/hosts")),
    ],
)
def test_a_failed_check_says_what_was_found_and_what_accepts_it(facts: Facts, check: str, said: tuple[str, ...]) -> None:
    findings = _found(facts)
    assert {finding.check for finding in findings} == {check}
    assert all(words in str(findings[0]) for words in (*said, f"--accept {check}"))
    with pytest.raises(LazurError) as refusal:
        refuse(findings)
    assert [cause.target for cause in refusal.value.details] == [finding.check for finding in findings]
    accepted = _found(facts, accepted=(check,))
    assert all(finding.accepted for finding in accepted)
    refuse(accepted)


def test_all_failures_are_told_at_once() -> None:
    findings = _found(replace(ENOUGH, cores=1, memory_mib=1, disk_gib={STATE: 1}), accepted=("memory",))
    assert [(f.check, f.accepted) for f in findings] == [("cores", False), ("memory", True), ("disk", False)]
    with pytest.raises(LazurError) as refusal:
        refuse(findings)
    assert [cause.target for cause in refusal.value.details] == ["cores", "disk"]


def test_a_profile_decides_how_much_is_enough() -> None:
    small = replace(ENOUGH, cores=4, memory_mib=12_000, disk_gib={STATE: 50})
    assert _found(small, "laptop") == _found(small, "lab") == []
    assert [finding.check for finding in _found(small, "rack")] == ["cores", "memory", "disk"]


def test_without_root_nothing_else_is_judged_and_nothing_accepts_it() -> None:
    (finding,) = _found(replace(ENOUGH, root=False, cores=0), accepted=("root",))
    assert finding.check == "root" and not finding.accepted and "--simulated" in str(finding) and "--accept" not in str(finding)


def test_an_unknown_check_cannot_be_accepted() -> None:
    with pytest.raises(LazurError, match="memry") as error:
        _found(ENOUGH, accepted=("memry",))
    assert all(check in error.value.message for check in CHECKS)


def test_probing_sees_this_machine_and_leaves_no_trace(tmp_path: Path) -> None:
    facts = probe([tmp_path / "not" / "yet"])
    assert facts.cores >= 1 and facts.memory_mib > 0 and list(facts.disk_gib) == [tmp_path / "not" / "yet"]
    assert list(tmp_path.iterdir()) == []
