"""The stamp's own certificate authority: one root, one leaf per role, a trust bundle for clients.

Must never hand out the CA key, and never issue for a name nobody asked for.

EC P-256 with SHA-256 throughout: OpenSSL (hence OVS, OVN, QEMU, requests), Go and .NET all take it. Leaves satisfy
RFC 5280 as Python 3.13 checks it by default (VERIFY_X509_STRICT): critical BasicConstraints, KeyUsage, key
identifiers, names in SAN.
"""

from __future__ import annotations

import hashlib
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lazur.identity.files import PRIVATE, PUBLIC, locked, write_atomic
from lazur.kernel.clock import Clock
from lazur.kernel.errors import LazurError

CA_LIFE = timedelta(days=3652)
LEAF_LIFE = timedelta(days=270)
# Clients whose clock runs a little behind ours must not see a certificate from the future.
BACKDATE = timedelta(hours=1)
# Where the distributions keep their roots in one file; the first that exists is used.
SYSTEM_ROOTS = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/ca-bundle.pem"),
    Path("/etc/ssl/cert.pem"),
)


@dataclass(frozen=True)
class KeyPair:
    """Paths of a PEM certificate (leaf first, then the CA) and of its PKCS#8 PEM private key (0600)."""

    cert: Path
    key: Path


@dataclass(frozen=True)
class _Wanted:
    """What a leaf has to say."""

    common_name: str
    dns: tuple[str, ...]
    ips: tuple[str, ...]
    client: bool

    def names(self) -> list[x509.GeneralName]:
        named: list[x509.GeneralName] = [x509.DNSName(name) for name in self.dns]
        return named + [x509.IPAddress(ipaddress.ip_address(address)) for address in self.ips]

    def usages(self) -> list[x509.ObjectIdentifier]:
        usages = [ExtendedKeyUsageOID.SERVER_AUTH]
        return [*usages, ExtendedKeyUsageOID.CLIENT_AUTH] if self.client else usages


class Authority:
    """The stamp's root certificate and the leaves under it."""

    def __init__(self, cert: x509.Certificate, key: ec.EllipticCurvePrivateKey, path: Path, clock: Clock) -> None:
        self._cert = cert
        self._key = key
        self._path = path
        self._clock = clock

    @classmethod
    def open(cls, directory: Path, *, clock: Clock) -> Authority:
        """The authority kept in `directory` as `ca.pem` and `ca.key` (0600); made there when both are absent.

        Raises `PkiDamaged` when only one of the two is there or they do not belong together: a new root would cut off
        everything that trusts the old one, so that is the operator's decision.
        """
        cert_path, key_path = directory / "ca.pem", directory / "ca.key"
        with locked(directory):
            # The key is written first: a certificate without its key can only mean loss, a lone key only a crash.
            if not cert_path.exists():
                key = _read_key(key_path) if key_path.exists() else ec.generate_private_key(ec.SECP256R1())
                write_atomic(key_path, _key_pem(key), PRIVATE)
                write_atomic(cert_path, _pem(_self_signed(key, clock)), PUBLIC)
            elif not key_path.exists():
                raise LazurError(
                    "PkiDamaged",
                    f"{cert_path} exists but {key_path} does not. Restore the key, or move {cert_path} away to start a"
                    " new authority (every client must then trust the new one).",
                    status=500,
                )
            cert, key = x509.load_pem_x509_certificate(cert_path.read_bytes()), _read_key(key_path)
        if cert.public_key() != key.public_key():
            raise LazurError("PkiDamaged", f"{key_path} is not the key of {cert_path}.", status=500)
        return cls(cert, key, cert_path, clock)

    @property
    def ca(self) -> Path:
        """The PEM file of the root certificate, the only thing a client has to trust."""
        return self._path

    def issue(
        self,
        directory: Path,
        name: str,
        *,
        dns: Sequence[str] = (),
        ips: Sequence[str] = (),
        common_name: str | None = None,
        client: bool = False,
    ) -> KeyPair:
        """A leaf `<name>.pem` + `<name>.key` in `directory` for the DNS names (wildcards allowed) and addresses given.

        An existing pair is kept while it says exactly this, was signed by this root and more than a third of its life
        (90 of 270 days) is left; otherwise key and certificate are made anew. Every leaf may serve (serverAuth);
        `client=True` adds clientAuth, for mutual TLS where the peer reads the common name. `common_name` defaults to
        `name`, at most 64 characters.
        """
        wanted = _Wanted(common_name or name, tuple(dns), tuple(ips), client)
        pair = KeyPair(directory / f"{name}.pem", directory / f"{name}.key")
        with locked(directory):
            if not self._still_good(pair, wanted):
                key = ec.generate_private_key(ec.SECP256R1())
                leaf = self._sign(key.public_key(), wanted)
                write_atomic(pair.key, _key_pem(key), PRIVATE)
                write_atomic(pair.cert, _pem(leaf) + _pem(self._cert), PUBLIC)
        return pair

    def bundle(self, directory: Path) -> Path:
        """`ca-bundle.pem` in `directory`: the system's roots and ours, since REQUESTS_CA_BUNDLE replaces all trust."""
        path = directory / "ca-bundle.pem"
        wanted = _system_roots() + _pem(self._cert)
        with locked(directory):
            if not path.exists() or path.read_bytes() != wanted:
                write_atomic(path, wanted, PUBLIC)
        return path

    def _still_good(self, pair: KeyPair, wanted: _Wanted) -> bool:
        try:
            cert = x509.load_pem_x509_certificate(pair.cert.read_bytes())
            if cert.public_key() != _read_key(pair.key).public_key():
                return False  # a crash fell between the two files
            cert.verify_directly_issued_by(self._cert)
        except Exception:  # absent, unreadable or another root's: a new leaf is right in every one of these cases
            return False
        left = cert.not_valid_after_utc - self._clock.now()
        return left > LEAF_LIFE / 3 and cert.not_valid_before_utc <= self._clock.now() and _says(cert, wanted)

    def _sign(self, public: ec.EllipticCurvePublicKey, wanted: _Wanted) -> x509.Certificate:
        now = self._clock.now()
        names = wanted.names()
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, wanted.common_name)]))
            .issuer_name(self._cert.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATE)
            .not_valid_after(min(now + LEAF_LIFE, self._cert.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(wanted.usages()), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _self_signed(key: ec.EllipticCurvePrivateKey, clock: Clock) -> x509.Certificate:
    public = key.public_key()
    fingerprint = hashlib.sha256(
        public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    ).hexdigest()[:8]
    # Two stamps' roots in one trust store must differ in name, or OpenSSL may try the wrong one.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Lazur stamp CA {fingerprint}")])
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(clock.now() - BACKDATE)
        .not_valid_after(clock.now() + CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _says(cert: x509.Certificate, wanted: _Wanted) -> bool:
    common_names = [name.value for name in cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    usages = list(cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    try:
        names = list(cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        names = []
    return common_names == [wanted.common_name] and names == wanted.names() and usages == wanted.usages()


def _system_roots() -> bytes:
    configured = ssl.get_default_verify_paths().cafile
    for path in (*SYSTEM_ROOTS, *([Path(configured)] if configured else [])):
        if path.is_file():
            return path.read_bytes().rstrip(b"\n") + b"\n"
    return b""


def _pem(cert: x509.Certificate) -> bytes:
    return cert.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise LazurError("PkiDamaged", f"{path} does not hold an elliptic-curve key.", status=500)
    return key
