"""A secret opens where it was sealed, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from lazur.identity.sealing import SealBroken, StampKey
from lazur.kernel.errors import LazurError
from lazur.kernel.ids import SeededIds, SystemIds


def test_opens_again_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "stamp.key"
    sealed = StampKey.open(path, SystemIds()).seal(b"hunter2", "/vm/1#adminPassword")
    assert b"hunter2" not in sealed.encode()
    assert path.stat().st_mode & 0o777 == 0o600
    assert StampKey.open(path, SystemIds()).unseal(sealed, "/vm/1#adminPassword") == b"hunter2"


def test_another_place_another_key_or_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    key = StampKey.open(tmp_path / "a", SystemIds())
    sealed = key.seal(b"x", "here")
    flipped = sealed[:-5] + ("A" if sealed[-5] != "A" else "B") + sealed[-4:]
    other = StampKey.open(tmp_path / "b", SystemIds())
    for opener, value, context in (
        (key, sealed, "there"),
        (other, sealed, "here"),
        (key, flipped, "here"),
        (key, "s1.", "here"),
        (key, "s9." + sealed[3:], "here"),
        (key, "plain text", "here"),
    ):
        with pytest.raises(SealBroken):
            opener.unseal(value, context)


def test_a_replayed_draw_never_reuses_a_nonce_for_another_plaintext(tmp_path: Path) -> None:
    path = tmp_path / "k"
    one = StampKey.open(path, SeededIds(1))
    key = [StampKey.open(path, SeededIds(2)) for _ in range(2)]
    assert one.seal(b"x", "c") != one.seal(b"x", "c")
    assert key[0].seal(b"left", "c")[3:19] != key[1].seal(b"right", "c")[3:19]


def test_a_damaged_key_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("not a key")
    with pytest.raises(LazurError) as caught:
        StampKey.open(tmp_path / "k", SystemIds())
    assert caught.value.code == "StampKeyDamaged" and str(tmp_path / "k") in caught.value.message
