"""What a guest gets to see, argument by argument."""

from __future__ import annotations

import json

from lazur.drivers.hypervisor.arguments import Files, qemu_arguments, smbios_uuid
from lazur.drivers.hypervisor.interface import Disk, Machine, Nic

FILES = Files("/r/pid", "/r/commands.sock", "/r/events.sock", "/r/console.sock", "/s/serial.log")
MACHINE = Machine(
    uid="11111111-2222-4333-8444-555555555555",
    vm_id="00112233-4455-6677-8899-aabbccddeeff",
    name="web0",
    cores=2,
    memory_mib=2048,
    os_disk=Disk("aaaaaaaa-0000-4000-8000-000000000001", "/d/os.qcow2"),
    data_disks=[
        Disk("aaaaaaaa-0000-4000-8000-000000000003", "/d/b.qcow2", lun=7),
        Disk("aaaaaaaa-0000-4000-8000-000000000002", "/d/a.qcow2", lun=0),
    ],
    nics=[Nic("t0123456789", "00:0d:3a:00:00:01"), Nic("t9876543210", "00:0d:3a:00:00:02")],
    cd="/r/provisioning.iso",
)


def values(arguments: list[str], option: str) -> list[str]:
    return [arguments[i + 1] for i, a in enumerate(arguments) if a == option]


def test_size_and_accelerator_are_exact() -> None:
    arguments = qemu_arguments(MACHINE, FILES, "tcg")
    assert values(arguments, "-smp") == ["cpus=2,sockets=1,cores=2,threads=1"]
    assert values(arguments, "-m") == ["2048M"]
    assert values(arguments, "-accel") == ["tcg,thread=multi,tb-size=32"]
    assert values(arguments, "-cpu") == ["max,tcg-cpuid=off"]
    assert values(arguments, "-action") == ["shutdown=pause"]
    assert values(qemu_arguments(MACHINE, FILES, "kvm"), "-accel") == ["kvm"]


def test_the_guest_sees_an_azure_host() -> None:
    assert smbios_uuid(MACHINE.vm_id) == "33221100-5544-7766-8899-aabbccddeeff"
    system, chassis = values(qemu_arguments(MACHINE, FILES, "tcg"), "-smbios")
    assert "manufacturer=Microsoft Corporation,product=Virtual Machine" in system
    assert "uuid=33221100-5544-7766-8899-aabbccddeeff" in system
    assert chassis.endswith("asset=7783-7084-3265-9085-8269-3286-77")


def test_disks_sit_where_azure_has_them() -> None:
    arguments = qemu_arguments(MACHINE, FILES, "tcg")
    devices = [json.loads(v) for v in values(arguments, "-device") if v.startswith("{")]
    assert [(d["driver"], d["bus"], d["lun"]) for d in devices] == [
        ("scsi-hd", "scsi0.0", 0),
        ("scsi-hd", "scsi1.0", 0),
        ("scsi-hd", "scsi1.0", 7),
        ("scsi-cd", "scsi0.0", 1),
    ]
    assert [d.get("bootindex") for d in devices] == [0, None, None, None]
    nodes = [json.loads(v) for v in values(arguments, "-blockdev")]
    assert [n["file"]["filename"] for n in nodes] == ["/d/os.qcow2", "/d/a.qcow2", "/d/b.qcow2", "/r/provisioning.iso"]
    assert [n["driver"] for n in nodes] == ["qcow2", "qcow2", "qcow2", "raw"]
    assert nodes[-1]["read-only"] is True
    assert [d["drive"] for d in devices] == [n["node-name"] for n in nodes]
    assert all(len(n["node-name"]) <= 31 for n in nodes)


def test_cards_hang_on_their_taps_in_order() -> None:
    arguments = qemu_arguments(MACHINE, FILES, "tcg")
    assert values(arguments, "-netdev") == [
        "tap,id=net0,ifname=t0123456789,script=no,downscript=no,vnet_hdr=off",
        "tap,id=net1,ifname=t9876543210,script=no,downscript=no,vnet_hdr=off",
    ]
    cards = [v for v in values(arguments, "-device") if v.startswith("virtio-net-pci")]
    assert cards[0] == "virtio-net-pci,id=nic0,netdev=net0,mac=00:0d:3a:00:00:01,addr=0x8,romfile="
    assert "mac=00:0d:3a:00:00:02,addr=0x9" in cards[1]


def test_equal_machines_give_equal_arguments() -> None:
    assert qemu_arguments(MACHINE, FILES, "tcg") == qemu_arguments(MACHINE, FILES, "tcg")
