"""A site file is right, or every fault in it is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from lazur.kernel.errors import LazurError
from lazur.lifecycle.project import ROOT
from lazur.lifecycle.rack import layout
from lazur.lifecycle.rack.roles import role_config
from lazur.lifecycle.rack.services import services
from lazur.lifecycle.role_config import RoleConfig
from lazur.lifecycle.site import Site

GOOD = """\
name: small
region: local
domain: lazur.internal
hosts:
  - {name: h01, cores: 2, memoryMiB: 2048, faultDomain: 0}
"""


def _faults(text: str) -> list[str]:
    with pytest.raises(LazurError) as caught:
        Site.parse(text, "site.yaml")
    return [fault.message for fault in caught.value.details or [caught.value]]


@pytest.mark.parametrize("name,hosts", [("laptop", 2), ("rack16", 16)])
def test_the_shipped_files_are_right(name: str, hosts: int) -> None:
    site = Site.load(ROOT / "sites" / f"{name}.yaml")
    assert len(site.hosts) == hosts
    assert site.guest_mtu == 1500
    assert site.endpoint_names["management"] == "management.local.lazur.internal"
    assert site.egress_interface is None


def test_all_faults_are_reported_at_once_with_their_lines() -> None:
    text = GOOD.replace("cores: 2", "cores: many").replace("domain: lazur.internal", "domain: nodot") + "colour: blue\n"
    faults = _faults(text)
    assert any(f.startswith("site.yaml line 5: hosts[0].cores:") and "'many'" in f for f in faults)
    assert any(f.startswith("site.yaml line 3: domain:") for f in faults)
    assert any(f.startswith("site.yaml line 6: colour: unknown key; expected one of domain,") for f in faults)
    assert len(faults) == 3


@pytest.mark.parametrize(
    "change,expected",
    [
        ("name: other\n", "line 6: name: given twice, first on line 1"),
        ("networks:\n  underlay: {mtu: 1500}\n", "line 7: networks.underlay.mtu:"),
        ("networks:\n  public: [10.239.4.0/24]\n", "line 6: networks: transit 10.239.4.0/22 and public[0]"),
        ("networks:\n  link: {prefix: 10.239.2.1/30}\n", "line 7: networks.link.prefix:"),
        ("storagePools: []\n", "line 6: storagePools: unknown key"),
        ("  - {name: h01, cores: 1, memoryMiB: 512, faultDomain: 1}\n", "host names must differ"),
        ("  - {name: edge, cores: 1, memoryMiB: 512, faultDomain: 1}\n", "line 6: hosts[1]: a host cannot be called edge"),
        ("  - [\n", "not YAML"),
    ],
)
def test_a_fault_says_where_and_what(change: str, expected: str) -> None:
    faults = _faults(GOOD + change)
    assert len(faults) == 1 and expected in faults[0], faults


def test_an_empty_or_absent_file_is_explained(tmp_path: Path) -> None:
    assert len(_faults("")) == 4
    with pytest.raises(LazurError) as caught:
        Site.load(tmp_path / "none.yaml")
    assert caught.value.code == "SiteFileUnreadable"


def test_more_hosts_are_derived_in_turn_over_fault_domains() -> None:
    site = Site.parse(GOOD, "site.yaml").with_hosts(4)
    assert [host.name for host in site.hosts] == ["h01", "h02", "h03", "h04"]
    assert [host.fault_domain for host in site.hosts] == [0, 1, 2, 0]
    assert site.with_hosts(2).hosts == site.hosts[:2]
    assert str(site.host_address("h04")) == "10.239.0.14"


def test_a_site_survives_its_own_json(tmp_path: Path) -> None:
    site = Site.load(ROOT / "sites" / "rack16.yaml")
    (tmp_path / "site.json").write_text(site.model_dump_json(by_alias=True, indent=1))
    assert Site.load(tmp_path / "site.json") == site


def test_a_role_reads_back_what_the_site_says(tmp_path: Path) -> None:
    site = Site.load(ROOT / "sites" / "laptop.yaml")
    for container in layout.containers(site):
        config = role_config(site, container)
        (tmp_path / "role.json").write_text(config.dumps())
        assert RoleConfig.load(tmp_path / "role.json") == config
    assert [h.name for h in role_config(site, "control").hosts] == ["h01", "h02"]
    host = role_config(site, "h02").host
    assert (host.address, host.fault_domain, host.vcpus) == ("10.239.0.12", 1, 32)
    assert role_config(site, "h02") == role_config(site.with_hosts(5), "h02"), "a new neighbour must not restart a host"


def test_every_service_waits_only_for_services_of_its_own_container() -> None:
    site = Site.load(ROOT / "sites" / "laptop.yaml")
    for container in layout.containers(site):
        entries = services(site, container)["services"]
        names = [entry["name"] for entry in entries]
        for entry in entries:
            assert set(entry.get("after", [])) <= set(names[: names.index(entry["name"])])
