"""The catalogue's tiny Linux image: a real disk, built from Debian packages, that serves five seconds after power on.

`catalogue.json` describes it to the compute provider; `guest/` holds everything of ours that runs inside.

What a hypervisor driver gives it (measured fastest of q35/pc and virtio-scsi/virtio-blk under emulation, within noise of
each other; q35 with virtio-scsi because disks then plug without PCI ports and the provisioning CD shares the bus):

    -machine q35,usb=off,vmport=off  -cpu max  -smp N  -m 128 or more  -nodefaults  -vga std
    -accel tcg,thread=multi,tb-size=32        16 costs half as much boot time again, 64 and more only memory
    -smbios type=1,uuid=<the VM's id>         a new id is a new instance: the CD is read again
    -device virtio-scsi-pci,id=scsi0          OS disk at lun 0 with bootindex=0, CD (`scsi-cd`) at lun 1
    -device virtio-scsi-pci,id=scsi1          data disks, `device_add scsi-hd,bus=scsi1.0,lun=<Azure's lun>` at any time
    -device virtio-net-pci,romfile=           one per NIC; eth0 is the first on the bus
    -serial chardev:...                       kernel and login prompt; no `-no-reboot`: a reboot is the guest's right

BIOS (SeaBIOS) only, no `-kernel`. The OS disk may be larger than the image: the root filesystem follows at the next boot.
Lines on the serial console that a driver may wait for or show: `LAZUR-READY host=… eth0=…`, `LAZUR-REPORTED` (the wire
server took the health report), `LAZUR-REPORT-FAILED …`, `LAZUR-CUSTOM-DATA exit=N`, `LAZUR-STOPPING`, `LAZUR-BOOT-FAILED …`.
"""

from lazur.lifecycle.guest_image.build import ensure_tiny_image

__all__ = ["ensure_tiny_image"]
