"""The two hashes templates name things with: ARM's `uniqueString` and `guid`.

`uniqueString` is a 64-bit variant of MurmurHash3: two 32-bit lanes with the constants of the x86 version, seed 0, the
second lane in the high half; then 13 letters of the base 32 alphabet from the top. `guid` is a version 5 UUID under
ARM's own namespace. Both take their arguments joined with '-'. Known results: tests/template/test_functions.py.
"""

from __future__ import annotations

import uuid

_MASK = 0xFFFFFFFF
_C1 = 0xAB0E9789
_C2 = 0x239B961B
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_NAMESPACE = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")


def unique_string(joined: str) -> str:
    """13 characters that depend on nothing but the text."""
    value = murmur(joined.encode())
    return "".join(_ALPHABET[value >> 59 - 5 * i & 31 if i < 12 else value << 1 & 31] for i in range(13))


def guid(joined: str) -> str:
    """The UUID of the text."""
    return str(uuid.uuid5(_NAMESPACE, joined))


def _rotated(value: int, by: int) -> int:
    return (value << by | value >> 32 - by) & _MASK


def _lane_one(block: int) -> int:
    return _rotated(block * _C2 & _MASK, 15) * _C1 & _MASK


def _lane_two(block: int) -> int:
    return _rotated(block * _C1 & _MASK, 17) * _C2 & _MASK


def _final(value: int) -> int:
    value = (value ^ value >> 16) * 0x85EBCA6B & _MASK
    value = (value ^ value >> 13) * 0xC2B2AE35 & _MASK
    return value ^ value >> 16


def murmur(data: bytes) -> int:
    """The 64-bit hash of `data`."""
    high = low = 0
    whole = len(data) - len(data) % 8
    for at in range(0, whole, 8):
        low = _rotated(low ^ _lane_one(int.from_bytes(data[at : at + 4], "little")), 19) + high
        low = low * 5 + 0x561CCD1B & _MASK
        high = _rotated(high ^ _lane_two(int.from_bytes(data[at + 4 : at + 8], "little")), 13) + low
        high = high * 5 + 0x0BCAA747 & _MASK
    rest = data[whole:]
    if rest:
        low ^= _lane_one(int.from_bytes(rest[:4], "little"))
    if len(rest) > 4:
        high ^= _lane_two(int.from_bytes(rest[4:], "little"))
    high ^= len(data)
    low = (low ^ len(data)) + high & _MASK
    high = high + low & _MASK
    low, high = _final(low), _final(high)
    low = low + high & _MASK
    return (high + low & _MASK) << 32 | low
