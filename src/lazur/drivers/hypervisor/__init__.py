"""Virtual machines as processes: one interface, QEMU and a simulated hypervisor behind it."""
