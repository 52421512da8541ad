"""The four secrets of a party: how they are made, kept in private files, and never shown.

tls.key      P-256      opens the mutual TLS of the gateway; its certificate is tls.crt
signing.key  Ed25519    signs the card, envelopes and manifests
sealing.key  X25519     opens what others sealed to our card
master.key   32 bytes   every key for data at rest is derived from it
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from party.errors import BadKeys
from party.ids import PartyId
from runtime.addresses import parse_listen
from runtime.disk.files import private_folder, read_private, refuse_exposed, write_whole

VALID_DAYS = 730
CLOCK_SKEW = timedelta(minutes=5)  # a peer whose clock is behind still takes a fresh certificate
MASTER_BYTES = 32


@dataclass(frozen=True, repr=False)
class PartyKeys:
    """All private keys of one party, and the certificate of its TLS key."""

    tls_key_pem: bytes
    tls_cert_pem: bytes
    signing: ed25519.Ed25519PrivateKey
    sealing: x25519.X25519PrivateKey
    master: bytes

    def __repr__(self) -> str:
        return "<PartyKeys>"


def make_keys(
    party: PartyId, addresses: Iterable[str] = (), *, now: datetime | None = None, valid_days: int = VALID_DAYS
) -> PartyKeys:
    """Fresh keys from the operating system's randomness, and a self-signed TLS certificate.

    Args:
        party: Becomes the certificate's common name and its first DNS name.
        addresses: Public `host:port` addresses; their hosts become names of the certificate.
        now: When validity begins (the present).
        valid_days: How long it lasts.
    """
    tls = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(tls, party, addresses, now or datetime.now(UTC), valid_days)
    return PartyKeys(
        tls_key_pem=_private_pem(tls),
        tls_cert_pem=certificate.public_bytes(serialization.Encoding.PEM),
        signing=ed25519.Ed25519PrivateKey.generate(),
        sealing=x25519.X25519PrivateKey.generate(),
        master=secrets.token_bytes(MASTER_BYTES),
    )


def renewed(keys: PartyKeys, party: PartyId, addresses: Iterable[str], *, now: datetime | None = None) -> PartyKeys:
    """The same keys with a new certificate over the same TLS key."""
    tls = serialization.load_pem_private_key(keys.tls_key_pem, password=None)
    if not isinstance(tls, ec.EllipticCurvePrivateKey):
        raise BadKeys("tls.key is not a P-256 key.")
    certificate = _certificate(tls, party, addresses, now or datetime.now(UTC), VALID_DAYS)
    return replace(keys, tls_cert_pem=certificate.public_bytes(serialization.Encoding.PEM))


def save_keys(folder: Path, keys: PartyKeys) -> None:
    """Write the keys into a private folder (0700), each to a private file (0600)."""
    private_folder(folder)
    write_whole(folder / "tls.key", keys.tls_key_pem)
    write_whole(folder / "tls.crt", keys.tls_cert_pem)
    write_whole(folder / "signing.key", _private_pem(keys.signing))
    write_whole(folder / "sealing.key", _private_pem(keys.sealing))
    write_whole(folder / "master.key", keys.master.hex().encode() + b"\n")


def load_keys(folder: Path) -> PartyKeys:
    """The keys that `save_keys` wrote. Raises FileExposed if others may read one, BadKeys if one is no key."""
    if not folder.is_dir():
        raise BadKeys(f"{folder} does not exist.", hint="Restore it from a backup; keys cannot be made again.")
    refuse_exposed(folder, folder.stat())
    tls_key_pem = _read(folder / "tls.key")
    certificate = _load_certificate(folder / "tls.crt")
    tls: ec.EllipticCurvePrivateKey = _load_private(folder / "tls.key", tls_key_pem, ec.EllipticCurvePrivateKey)
    if tls.public_key() != certificate.public_key():
        raise BadKeys(f"{folder / 'tls.crt'} is not the certificate of tls.key beside it.")
    signing, sealing = folder / "signing.key", folder / "sealing.key"
    return PartyKeys(
        tls_key_pem=tls_key_pem,
        tls_cert_pem=certificate.public_bytes(serialization.Encoding.PEM),
        signing=_load_private(signing, _read(signing), ed25519.Ed25519PrivateKey),
        sealing=_load_private(sealing, _read(sealing), x25519.X25519PrivateKey),
        master=load_master(folder),
    )


def certificate_der(pem: bytes) -> bytes:
    """The binary form of a PEM certificate, as TLS libraries hand out the peer's. Raises BadKeys."""
    return _parse_certificate(pem, "The certificate").public_bytes(serialization.Encoding.DER)


def _certificate(
    key: ec.EllipticCurvePrivateKey, party: PartyId, addresses: Iterable[str], now: datetime, valid_days: int
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, party)])
    start = now.replace(microsecond=0) - CLOCK_SKEW
    hosts = dict.fromkeys(parse_listen(address).host for address in addresses)
    names: list[x509.GeneralName] = [x509.DNSName(party)] + [_general_name(host) for host in hosts if host != party]
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=valid_days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=False)
        .sign(key, hashes.SHA256())
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _private_pem(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read(path: Path) -> bytes:
    try:
        return read_private(path)
    except FileNotFoundError:
        raise BadKeys(f"{path} does not exist.", hint="Restore it from a backup; keys cannot be made again.") from None


def _load_private(path: Path, pem: bytes, kind: Any) -> Any:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadKeys(f"{path} does not hold a private key in PEM form without a password.") from None
    if not isinstance(key, kind):
        raise BadKeys(f"{path} holds another kind of key than {kind.__name__}.")
    return key


def load_master(folder: Path) -> bytes:
    """The master key alone, for a service that needs no other. Raises FileExposed or BadKeys."""
    path = folder / "master.key"
    try:
        master = bytes.fromhex(_read(path).decode())
    except ValueError:
        master = b""
    if len(master) != MASTER_BYTES:
        raise BadKeys(f"{path} does not hold {MASTER_BYTES} bytes as hexadecimal digits.")
    return master


def _load_certificate(path: Path) -> x509.Certificate:
    return _parse_certificate(_read(path), str(path))


def _parse_certificate(pem: bytes, what: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise BadKeys(f"{what} is not an X.509 certificate in PEM form.") from None
