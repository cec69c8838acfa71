"""Certificates as real TLS peers see them, strict checking on."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from lazur.identity.pki import LEAF_LIFE, Authority, KeyPair
from lazur.kernel.clock import SystemClock, VirtualClock
from lazur.kernel.errors import LazurError


def handshake(server: KeyPair, client: KeyPair | None, ca: Path, name: str) -> dict[str, object]:
    """Mutual TLS over a socket pair with strict verification on both sides; what the server saw of the client."""
    left, right = socket.socketpair()
    listening = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    listening.load_cert_chain(server.cert, server.key)
    listening.load_verify_locations(ca)
    listening.verify_mode = ssl.CERT_REQUIRED if client else ssl.CERT_NONE
    listening.verify_flags |= ssl.VERIFY_X509_STRICT
    calling = ssl.create_default_context(cafile=str(ca))
    calling.verify_flags |= ssl.VERIFY_X509_STRICT
    if client:
        calling.load_cert_chain(client.cert, client.key)
    seen: dict[str, object] = {}

    def serve() -> None:
        try:
            with listening.wrap_socket(left, server_side=True) as secure:
                seen["peer"] = secure.getpeercert()
                secure.sendall(b"x")
        except ssl.SSLError as error:
            seen["error"] = error
            left.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with calling.wrap_socket(right, server_hostname=name) as secure:
            seen["read"] = secure.recv(1)
    finally:
        right.close()
        thread.join()
    return seen


def test_mutual_tls_with_strict_checks(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path / "pki", clock=SystemClock())
    names = ["login.local.lazur.internal", "*.blob.core.x"]
    server = authority.issue(tmp_path / "pki", "api", dns=names, ips=["10.239.0.2", "fd00::1"])
    client = authority.issue(tmp_path / "pki", "h01", common_name="host/h01", client=True)
    for name in ("login.local.lazur.internal", "acct.blob.core.x", "10.239.0.2", "fd00::1"):
        seen = handshake(server, client, authority.ca, name)
        assert seen["read"] == b"x"
        assert (("commonName", "host/h01"),) in seen["peer"]["subject"]  # type: ignore[index]


def test_a_name_not_asked_for_and_a_server_leaf_as_client_are_refused(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path, clock=SystemClock())
    server = authority.issue(tmp_path, "api", dns=["api.x"])
    with pytest.raises(ssl.SSLError):
        handshake(server, None, authority.ca, "other.x")
    # In TLS 1.3 the caller learns of the refusal at its first read: an alert, or the closed connection.
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(server, server, authority.ca, "api.x")


def test_another_root_is_refused(tmp_path: Path) -> None:
    ours = Authority.open(tmp_path / "a", clock=SystemClock())
    theirs = Authority.open(tmp_path / "b", clock=SystemClock())
    server = theirs.issue(tmp_path / "b", "api", dns=["api.x"])
    with pytest.raises(ssl.SSLError):
        handshake(server, None, ours.ca, "api.x")
    # A leaf that lies there from another root is replaced.
    again = ours.issue(tmp_path / "b", "api", dns=["api.x"])
    assert handshake(again, None, ours.ca, "api.x")["read"] == b"x"


def test_reissue_only_when_needed(tmp_path: Path) -> None:
    clock = VirtualClock()
    authority = Authority.open(tmp_path, clock=clock)
    pair = authority.issue(tmp_path, "api", dns=["a.x"])
    first = pair.cert.read_bytes()
    clock.advance((LEAF_LIFE * 2 / 3).total_seconds() - 10)
    assert Authority.open(tmp_path, clock=clock).issue(tmp_path, "api", dns=["a.x"]).cert.read_bytes() == first
    clock.advance(20)
    authority.issue(tmp_path, "api", dns=["a.x"])
    second = pair.cert.read_bytes()
    assert second != first
    authority.issue(tmp_path, "api", dns=["a.x", "b.x"])
    third = pair.cert.read_bytes()
    assert third != second
    authority.issue(tmp_path, "api", dns=["a.x", "b.x"], common_name="network/main")
    fourth = pair.cert.read_bytes()
    assert fourth != third
    authority.issue(tmp_path, "api", dns=["a.x", "b.x"], common_name="network/main", client=True)
    assert pair.cert.read_bytes() != fourth


def test_a_crash_between_key_and_certificate_heals(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path, clock=SystemClock())
    pair = authority.issue(tmp_path, "api", dns=["a.x"])
    other = authority.issue(tmp_path, "other", dns=["b.x"])
    shutil.copy(other.key, pair.key)
    healed = authority.issue(tmp_path, "api", dns=["a.x"])
    assert handshake(healed, None, authority.ca, "a.x")["read"] == b"x"
    # The same for the root: the key was written, the certificate not yet.
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    shutil.copy(tmp_path / "ca.key", fresh / "ca.key")
    assert Authority.open(fresh, clock=SystemClock()).ca.exists()


def test_damage_is_never_papered_over(tmp_path: Path) -> None:
    Authority.open(tmp_path, clock=SystemClock())
    (tmp_path / "ca.key").unlink()
    with pytest.raises(LazurError) as caught:
        Authority.open(tmp_path, clock=SystemClock())
    assert caught.value.code == "PkiDamaged"


def test_permissions_lives_and_extensions(tmp_path: Path) -> None:
    clock = SystemClock()
    authority = Authority.open(tmp_path, clock=clock)
    pair = authority.issue(tmp_path, "api", dns=["a.x"])
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600
    assert pair.key.stat().st_mode & 0o777 == 0o600
    root = x509.load_pem_x509_certificate(authority.ca.read_bytes())
    assert root.not_valid_after_utc - clock.now() > timedelta(days=3650)
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).critical
    leaf, chained = x509.load_pem_x509_certificates(pair.cert.read_bytes())
    assert chained == root
    leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)


def test_bundle_holds_the_system_roots_and_ours(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path, clock=SystemClock())
    bundle = authority.bundle(tmp_path).read_bytes()
    assert bundle.endswith(authority.ca.read_bytes())
    assert bundle.count(b"BEGIN CERTIFICATE") >= 1
    pair = authority.issue(tmp_path, "api", dns=["a.x"])
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command on this machine: chain check by another implementation not run")
    checked = subprocess.run(
        [
            "openssl",
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-CAfile",
            tmp_path / "ca-bundle.pem",
            pair.cert,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
