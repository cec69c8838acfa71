"""Taps on the host's virtual switch: one interface, Open vSwitch and a simulated switch behind it."""
