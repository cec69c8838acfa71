"""A machine's life on a real rack: power, size, disks, diagnostics, deletion, and the errors a customer meets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lazur.kernel.errors import LazurError
from tests.rack.flows import COMPUTE, NETWORK, Cloud, Example, until

GROUP = "life"


@pytest.fixture(scope="module")
def address(cloud: Cloud) -> Iterator[str]:
    """The public address of the machine `one`, which ssh reaches."""
    cloud.group(GROUP)
    public, found = cloud.public_ip(GROUP, "ip")
    nic = cloud.nic(GROUP, "nic", cloud.vnet(GROUP), public=public, nsg=cloud.nsg(GROUP, "nsg", ["22", "80"]))
    cloud.put(cloud.vm(GROUP, "one"), cloud.machine_body("one", nic))
    yield found
    cloud.delete(f"{cloud.subscription}/resourceGroups/{GROUP}")


def power(cloud: Cloud, vm: str) -> str:
    """The power state a customer sees."""
    codes = [status["code"] for status in cloud.get(f"{vm}/instanceView")["statuses"]]
    return str(next(code.partition("/")[2] for code in codes if code.startswith("PowerState/")))


def answers(cloud: Cloud, address: str, command: str) -> str:
    """What a command prints once ssh answers."""
    return str(until(f"ssh to {address}", lambda: cloud.ssh(address, command, check=False)))


def test_a_file_outlives_every_kind_of_stop(cloud: Cloud, address: str) -> None:
    vm = cloud.vm(GROUP, "one")
    answers(cloud, address, "echo kept > keep; sync; echo done")
    for action, state in (("powerOff", "stopped"), ("deallocate", "deallocated")):
        cloud.post(vm, action)
        assert power(cloud, vm) == state
        assert cloud.ssh(address, "echo alive", check=False) == ""
        cloud.post(vm, "start")
        assert power(cloud, vm) == "running"
        assert answers(cloud, address, "cat keep").strip() == "kept"
    before = answers(cloud, address, "cat /proc/sys/kernel/random/boot_id")
    cloud.post(vm, "restart")
    until("another boot", lambda: cloud.ssh(address, "cat /proc/sys/kernel/random/boot_id", check=False) not in ("", before))
    assert cloud.ssh(address, "cat keep").strip() == "kept"


def test_a_stopped_machine_takes_another_size(cloud: Cloud, address: str) -> None:
    vm = cloud.vm(GROUP, "one")

    def seen() -> tuple[int, int]:
        text = answers(cloud, address, "grep MemTotal /proc/meminfo; grep -c ^processor /proc/cpuinfo")
        memory, cpus = re.findall(r"\d+", text)
        return int(memory) >> 10, int(cpus)

    small = seen()
    assert 350 < small[0] <= 512 and small[1] == 1, small
    cloud.post(vm, "deallocate")
    body = cloud.get(vm)
    body["properties"]["hardwareProfile"]["vmSize"] = "Standard_B2s"
    cloud.put(vm, body)
    cloud.post(vm, "start")
    large = seen()
    assert 3500 < large[0] <= 4096 and large[1] == 2, large


def test_a_data_disk_wanders_with_its_content(cloud: Cloud, example: Example, address: str) -> None:
    disk = cloud.path(GROUP, f"{COMPUTE}/disks", "data")
    cloud.put(disk, cloud.body({"creationData": {"createOption": "Empty"}, "diskSizeGB": 1}, sku={"name": "Standard_LRS"}))
    one, web1 = cloud.vm(GROUP, "one"), example.vm("web1")
    size = "for d in /sys/block/sd*; do [ $(cat $d/size) = 2097152 ] && basename $d; done"
    before = cloud.guests()
    _data_disks(cloud, one, [{"lun": 0, "createOption": "Attach", "managedDisk": {"id": disk}}])
    name = until("the guest sees the disk", lambda: cloud.ssh(address, size, check=False).strip())
    write = f"sudo mount /dev/{name} /mnt && echo wandering | sudo tee /mnt/it && sudo umount /mnt"
    assert "wandering" in cloud.ssh(address, f"sudo mkfs.ext4 -q /dev/{name} && {write}")
    error = cloud.refused("DELETE", disk)
    assert one.lower() in error.message.lower(), error.message
    _data_disks(cloud, one, [])
    until("the disk has left the guest", lambda: not cloud.ssh(address, f"{size}; true").strip())
    _data_disks(cloud, web1, [{"lun": 3, "createOption": "Attach", "managedDisk": {"id": disk}}])
    name = until("the other guest sees it", lambda: example.ssh("web1", f"{size}; true").strip())
    assert "wandering" in example.ssh("web1", f"sudo mount /dev/{name} /mnt && cat /mnt/it && sudo umount /mnt")
    body = cloud.get(disk)
    cloud.put(disk, {**body, "properties": {**body["properties"], "diskSizeGB": 2}})
    until("the guest sees it grown", lambda: example.ssh("web1", f"cat /sys/block/{name}/size").strip() == "4194304")
    _data_disks(cloud, web1, [])
    cloud.delete(disk)
    assert cloud.guests() == before, "attaching is no reason for another process"


def _data_disks(cloud: Cloud, vm: str, disks: list[dict[str, Any]]) -> None:
    body = cloud.get(vm)
    body["properties"]["storageProfile"]["dataDisks"] = disks
    cloud.put(vm, body)


def test_diagnostics_need_their_signature(cloud: Cloud, example: Example) -> None:
    links = cloud.post(example.vm("web1"), "retrieveBootDiagnosticsData")
    for link, start in (("serialConsoleLogBlobUri", b""), ("consoleScreenshotBlobUri", b"\x89PNG")):
        url = links[link]
        status, content = cloud.download(url)
        assert status == 200 and content.startswith(start) and content
        bare = url.partition("?")[0]
        twisted = re.sub(r"(sig=)(.)", lambda m: m[1] + ("A" if m[2] != "A" else "B"), url)
        assert twisted != url
        assert cloud.download(bare)[0] in (401, 403) and cloud.download(twisted)[0] in (401, 403)
    assert b"LAZUR-READY host=web1" in cloud.download(links["serialConsoleLogBlobUri"])[1]


def test_deletion_keeps_or_takes_the_os_disk_as_asked(cloud: Cloud, address: str) -> None:
    subnet = cloud.path(GROUP, f"{NETWORK}/virtualNetworks", "net/subnets/all")
    vm, nic = cloud.vm(GROUP, "brief"), cloud.nic(GROUP, "brief-nic", subnet)
    body = cloud.machine_body("brief", nic)
    cloud.put(vm, body)
    kept = cloud.get(vm)["properties"]["storageProfile"]["osDisk"]["managedDisk"]["id"]
    assert cloud.refused("DELETE", nic).status in (400, 409)
    assert cloud.refused("PUT", cloud.vm(GROUP, "thief"), cloud.machine_body("thief", nic)).message
    cloud.delete(vm)
    assert cloud.exists(kept) and cloud.exists(nic)
    cloud.delete(kept)
    body["properties"]["storageProfile"]["osDisk"]["deleteOption"] = "Delete"
    cloud.put(vm, body)
    taken = cloud.get(vm)["properties"]["storageProfile"]["osDisk"]["managedDisk"]["id"]
    cloud.delete(vm)
    until("the disk went with its machine", lambda: not cloud.exists(taken))
    cloud.delete(nic)


def test_a_guest_that_cannot_start_says_why(cloud: Cloud, address: str) -> None:
    vm = cloud.vm(GROUP, "one")
    cloud.post(vm, "deallocate")
    path = cloud.rack.paths.disks / _os_disk_file(cloud, vm)
    header = path.read_bytes()[:4]
    try:
        with path.open("r+b") as disk:
            disk.write(b"gone")
        with pytest.raises(LazurError) as caught:
            cloud.post(vm, "start")
        said = str(caught.value.body())
        assert "qemu" in said.lower() and ("qcow2" in said or "format" in said), said
    finally:
        with path.open("r+b") as disk:
            disk.write(header)
    cloud.post(vm, "start")
    assert answers(cloud, address, "cat keep").strip() == "kept"


def _os_disk_file(cloud: Cloud, vm: str) -> Path:
    owner = cloud.get(vm)["properties"]["storageProfile"]["osDisk"]["managedDisk"]["id"].lower()
    desires = cloud.facts().control["desires"]
    return Path(next(d["payload"]["path"] for d in desires if d["owner"].lower() == owner and d["domain"] == "storage/main"))


def test_no_room_names_the_constraint_of_each_host(cloud: Cloud, address: str) -> None:
    subnet = cloud.path(GROUP, f"{NETWORK}/virtualNetworks", "net/subnets/all")
    nic = cloud.nic(GROUP, "huge-nic", subnet)
    vm = cloud.vm(GROUP, "huge")
    error = cloud.refused("PUT", vm, cloud.machine_body("huge", nic, size="Standard_D16s_v5"))
    said = str(error.body())
    assert error.code == "AllocationFailed" and all(host in said for host in cloud.hosts), said
    assert "vCPU" in said or "memory" in said, said
    if cloud.exists(vm):
        cloud.delete(vm)
    cloud.delete(nic)


def test_what_is_taken_or_in_use_is_refused(cloud: Cloud, example: Example, address: str) -> None:
    subnet = cloud.path(GROUP, f"{NETWORK}/virtualNetworks", "net/subnets/all")
    inner = {"subnet": {"id": subnet}, "privateIPAllocationMethod": "Static", "privateIPAddress": "10.0.0.4"}
    nic = cloud.path(GROUP, f"{NETWORK}/networkInterfaces", "taken")
    body = cloud.body({"ipConfigurations": [{"name": "one", "properties": inner}]})
    error = cloud.refused("PUT", nic, body)
    assert "10.0.0.4" in str(error.body()), error.body()
    inner["privateIPAddress"] = "10.9.9.9"
    assert "10.9.9.9" in str(cloud.refused("PUT", nic, body).body())
    for used in (
        cloud.path(GROUP, f"{NETWORK}/virtualNetworks", "net"),
        cloud.path(GROUP, f"{NETWORK}/publicIPAddresses", "ip"),
        cloud.path(GROUP, f"{NETWORK}/networkSecurityGroups", "nsg"),
        example.id(f"{NETWORK}/loadBalancers", "web-lb"),
    ):
        refused = cloud.refused("DELETE", used)
        assert refused.status in (400, 409) and "nic" in str(refused.body()).lower(), refused.body()
    assert not cloud.exists(nic)
