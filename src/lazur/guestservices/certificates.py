"""The certificate every guest has from its cloud, and its way into the guest.

Protected settings of extensions will be encrypted to it. The key leaves this host only inside an envelope that the
guest's transport certificate alone opens. Must never be written where another user can read it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from lazur.kernel.clock import Clock
from lazur.kernel.errors import LazurError
from lazur.kernel.ids import derived

# The cryptography package is loaded at the first request only: most guests never ask, and it is a quarter of the process.
if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate

_LIFETIME = timedelta(days=3650)


class CertificateStore:
    """One RSA key and self-signed certificate per guest, made at first need and kept in `<vm uid>.pem`."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._lock = asyncio.Lock()
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def sealed(self, vm: str, transport: str) -> str:
        """Base64 of a CMS envelope around a PFX with an empty password, for the base64 DER certificate `transport`.

        `LazurError` 400 when `transport` is no RSA certificate.
        """
        # One at a time: two first requests must not make two keys, and a guest must not occupy more than one thread.
        async with self._lock:
            return await asyncio.to_thread(self._sealed, vm, transport)

    def keep(self, vms: Iterable[str]) -> None:
        """Delete the certificates of every guest but these."""
        wanted = set(vms)
        for path in self._directory.glob("*.pem"):
            if path.stem not in wanted:
                path.unlink(missing_ok=True)

    def _sealed(self, vm: str, transport: str) -> str:
        from cryptography.hazmat.primitives.ciphers.algorithms import AES128
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption
        from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7EnvelopeBuilder, PKCS7Options
        from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

        recipient = _recipient(transport)
        key, certificate = self._pair(vm)
        pfx = serialize_key_and_certificates(None, key, certificate, None, NoEncryption())
        # Agents name DES or AES-128 as their wish but open whatever is inside; AES-128 is accepted by all of them.
        builder = PKCS7EnvelopeBuilder().set_data(pfx).set_content_encryption_algorithm(AES128).add_recipient(recipient)
        return base64.b64encode(builder.encrypt(Encoding.DER, [PKCS7Options.Binary])).decode()

    def _pair(self, vm: str) -> tuple[RSAPrivateKey, Certificate]:
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        path = self._directory / f"{vm}.pem"
        try:
            pem = path.read_bytes()
        except FileNotFoundError:
            pem = self._made(vm)
            scratch = path.with_name(f".{path.name}.new")
            scratch.unlink(missing_ok=True)
            descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as out:
                out.write(pem)
                out.flush()
                os.fsync(out.fileno())
            scratch.replace(path)
        key = load_pem_private_key(pem, None)
        if not isinstance(key, RSAPrivateKey):
            raise LazurError("InternalServerError", "The guest's key is of the wrong kind.", status=500, internal=str(path))
        return key, x509.load_pem_x509_certificate(pem)

    def _made(self, vm: str) -> bytes:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import rsa
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"Guest certificate {derived('guest', vm)}")])
        now = self._clock.now()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + _LIFETIME)
            .sign(key, hashes.SHA256())
        )
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return private + certificate.public_bytes(Encoding.PEM)


def _recipient(transport: str) -> Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    try:
        certificate = x509.load_der_x509_certificate(base64.b64decode(transport, validate=True))
        if isinstance(certificate.public_key(), RSAPublicKey):
            return certificate
    except (ValueError, binascii.Error, TypeError):
        pass
    raise LazurError("InvalidCertificate", "The transport certificate is not an RSA certificate in base64 DER.")
