"""Creates certificates for development: an authority, and one certificate per part and for clients.

`make certs` runs it. It keeps certificates that are not about to expire, so it can run at any time, and running parts
reload new files. For production, use cert-manager or your own authority; the directories have the layout of a Secret of
type `kubernetes.io/tls`.
"""

import argparse
import datetime
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pantree_runtime.identity import ALLOWED_CALLERS, AUTHORITY, CERTIFICATE, CLIENT, KEY, tenant_uri

PARTS = ("gateway", *ALLOWED_CALLERS)
_AUTHORITY_DAYS, _DAYS, _RENEW_BEFORE_DAYS = 3650, 90, 30


class Authority:
    """A certificate authority. Its key stays on this machine."""

    def __init__(self, name: str = "Pantree development") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=_AUTHORITY_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=False,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    key_cert_sign=True,
                    crl_sign=True,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )

    @classmethod
    def load(cls, folder: Path) -> "Authority":
        """Loads the authority from a directory; creates and stores a new one if the directory has no files."""
        authority = cls()
        certificate, key = folder / AUTHORITY, folder / "ca.key"
        if certificate.exists() and key.exists():
            authority.certificate = x509.load_pem_x509_certificate(certificate.read_bytes())
            loaded = serialization.load_pem_private_key(key.read_bytes(), None)
            assert isinstance(loaded, ec.EllipticCurvePrivateKey)
            authority.key = loaded
        else:
            folder.mkdir(parents=True, exist_ok=True)
            _write(key, _key_pem(authority.key), secret=True)
            _write(certificate, _pem(authority.certificate))
        return authority

    def issue(self, folder: Path, name: str, *, days: float = _DAYS, tenants: Sequence[str] = ()) -> None:
        """Writes a new key, its certificate and the certificate of this authority to a directory.

        Args:
            folder: the directory; it is created if necessary.
            name: DNS name in the certificate.
            days: days of validity from now; negative for an expired certificate.
            tenants: tenants that a client may use.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1 + max(-days, 0)))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name), *_tenant_uris(tenants)]), critical=False)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / KEY, _key_pem(key), secret=True)
        _write(folder / CERTIFICATE, _pem(certificate))
        _write(folder / AUTHORITY, _pem(self.certificate))


def _tenant_uris(tenants: Sequence[str]) -> list[x509.UniformResourceIdentifier]:
    return [x509.UniformResourceIdentifier(tenant_uri(tenant)) for tenant in tenants]


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes, *, secret: bool = False) -> None:
    """Writes a file atomically. Only its owner can read a secret file."""
    new = path.with_suffix(path.suffix + ".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if secret else 0o644), "wb") as file:
        file.write(content)
    new.replace(path)


def is_fresh(folder: Path, authority: Authority, tenants: Sequence[str] = ()) -> bool:
    """Whether a directory has a certificate of the authority for these tenants that is not about to expire."""
    try:
        certificate = x509.load_pem_x509_certificate((folder / CERTIFICATE).read_bytes())
        certificate.verify_directly_issued_by(authority.certificate)
    except (OSError, ValueError, TypeError, InvalidSignature):  # InvalidSignature: issued by another authority
        return False
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if set(names.get_values_for_type(x509.UniformResourceIdentifier)) != set(map(tenant_uri, tenants)):
        return False
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return left > datetime.timedelta(days=_RENEW_BEFORE_DAYS)


def make_all(folder: Path, domain: str, client_tenants: Sequence[str] = ()) -> Sequence[str]:
    """Issues certificates that are missing or about to expire; returns the names of their parts."""
    authority = Authority.load(folder)
    made = []
    for part in (*PARTS, CLIENT):
        tenants = client_tenants if part == CLIENT else ()
        if not is_fresh(folder / part, authority, tenants):
            authority.issue(folder / part, f"{part}.{domain}", tenants=tenants)
            made.append(part)
    return made


def main() -> None:
    """Creates the certificates in the directory given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("certs"))
    parser.add_argument("--domain", default="pantree.internal", help="value of PANTREE_TLS_DOMAIN")
    parser.add_argument(
        "--client-tenant", action="append", default=[], metavar="ID", help="tenant that clients may use; repeatable"
    )
    arguments = parser.parse_args()
    made = make_all(arguments.folder, arguments.domain, arguments.client_tenant)
    print(
        f"{arguments.folder}: created {', '.join(made)}"
        if made
        else f"{arguments.folder}: all certificates are current"
    )
    print(f"use: pantree up --certificates {arguments.folder}")


if __name__ == "__main__":
    main()
