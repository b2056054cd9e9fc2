"""Mutual TLS: the identity of a part, and which parts may call it.

A part's certificate has the DNS name `<part>.<domain>`, such as `pipeline.pantree.internal`. Callers require that name
regardless of the address they connect to, so no part can impersonate another. Servers require a certificate from the
same authority and admit the callers in `ALLOWED_CALLERS`. A client's certificate may name the
tenants that its holder may use, as URIs: `urn:pantree:tenant:north`.
"""

import logging
import os
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, unquote

import grpc

from pantree_runtime.errors import PermissionDenied
from pantree_runtime.grpc_types import Context

# Of the standard library, since clients use this module too. The log of a part shows these fields.
_log = logging.getLogger(__name__)

CLIENT = "client"
"""Name of callers outside the mesh: back ends, and people at a terminal."""

TENANT_URI = "urn:pantree:tenant:"
"""Start of a URI in a client's certificate that names a tenant, percent-encoded; without one, the default tenant."""
DEFAULT_TENANT = frozenset({""})

ALLOWED_CALLERS: Mapping[str, frozenset[str]] = {
    "pipeline": frozenset({"gateway", CLIENT}),
    "simulation": frozenset({"gateway", "pipeline", CLIENT}),
    "vector": frozenset({"pipeline", CLIENT}),
    "frequency": frozenset({"pipeline", CLIENT}),
    "enrichment": frozenset({"pipeline"}),
    "recommendation": frozenset({"pipeline"}),
    "history": frozenset({"gateway", "pipeline", CLIENT}),
}
"""Callers of each part. docs/architecture.md explains them; a test compares the two."""

# As in a Kubernetes Secret of type `kubernetes.io/tls` that cert-manager creates.
CERTIFICATE, KEY, AUTHORITY = "tls.crt", "tls.key", "ca.crt"
# X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL.
_PERIOD_ERRORS = frozenset({9, 10})


class Identity:
    """Certificate and key of this part, and the authority of all parts. Reloaded when the files change.

    Args:
        directory: contains `tls.crt`, `tls.key` and `ca.crt`, in PEM.
        domain: domain of the names of all parts.
        client_tenants: tenants of clients whose certificates name none; `*` for all.

    Raises:
        OSError: if a file is missing or does not match the others, or if the certificate has ended.
    """

    def __init__(self, directory: Path, domain: str, client_tenants: frozenset[str] = DEFAULT_TENANT) -> None:
        self._client_tenants = client_tenants
        self._directory = directory
        self._domain = domain
        self._lock = threading.Lock()
        self._seen = self._stamp()
        self._pem = self._read()
        self.version = 0
        """Incremented when the files change."""

    def server_credentials(self) -> grpc.ServerCredentials:
        """Credentials of a server that requires client certificates and checks the files on each handshake."""
        return grpc.dynamic_ssl_server_credentials(
            self._server_configuration(), self._server_configuration, require_client_authentication=True
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Credentials of a channel, read from the current files."""
        authority, key, certificate = self._current()
        return grpc.ssl_channel_credentials(authority, key, certificate)

    def name_of(self, part: str) -> str:
        """Name in a part's certificate."""
        return f"{part}.{self._domain}"

    def refresh(self) -> int:
        """Checks the files and returns the current version."""
        self._current()
        return self.version

    def check_caller(self, part: str, context: Context) -> frozenset[str] | None:
        """Tenants that the caller may use; None for all.

        Raises:
            PermissionDenied: if the caller may not call this part.
        """
        names = context.auth_context().get("x509_subject_alternative_name", [])
        callers = [name.decode(errors="replace") for name in names]
        suffix = f".{self._domain}"
        allowed = ALLOWED_CALLERS.get(part, frozenset())
        admitted = {name.removesuffix(suffix) for name in callers if name.endswith(suffix)} & allowed
        if admitted - {CLIENT}:
            return None
        if admitted:
            named = frozenset(unquote(name.removeprefix(TENANT_URI)) for name in callers if name.startswith(TENANT_URI))
            return named or self._client_tenants
        shown = ", ".join(callers) or "a caller without a name"
        raise PermissionDenied(
            f"a certificate for {shown} may not call {part}; {', '.join(sorted(allowed))} at {self._domain} may"
        )

    def _server_configuration(self) -> grpc.ServerCertificateConfiguration:
        authority, key, certificate = self._current()
        return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=authority)

    def _current(self) -> tuple[bytes, bytes, bytes]:
        """Authority, key and certificate. New files are ignored until they match one another."""
        with self._lock:
            try:
                stamp = self._stamp()
                if stamp != self._seen:
                    self._pem = self._read()
                    self._seen = stamp
                    self.version += 1
                    _log.info("certificate reloaded", extra={"dir": str(self._directory)})
            except OSError as error:
                _log.warning("certificate cannot be reloaded; the old one stays in use", extra={"reason": str(error)})
            return self._pem

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        """Value that changes when a file does or when Kubernetes swaps its symlink."""
        try:
            stats = [os.stat(self._directory / name) for name in (CERTIFICATE, KEY, AUTHORITY)]
        except OSError as error:
            raise OSError(f"TLS needs {error.filename}: {error.strerror}") from error
        return tuple((stat.st_ino, stat.st_mtime_ns) for stat in stats)

    def _read(self) -> tuple[bytes, bytes, bytes]:
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_cert_chain(self._directory / CERTIFICATE, self._directory / KEY)
            context.load_verify_locations(self._directory / AUTHORITY)
            check_is_valid_now(self._directory)
        except ssl.SSLCertVerificationError as error:
            where = self._directory / CERTIFICATE
            raise OSError(f"{where} is not valid now: {error.verify_message}; issue a new one") from error
        except ssl.SSLError as error:
            what = f"{CERTIFICATE}, {KEY} and {AUTHORITY} in {self._directory}"
            raise OSError(f"{what} are not PEM or do not match each other: {error.reason or error}") from error
        authority, key, certificate = ((self._directory / name).read_bytes() for name in (AUTHORITY, KEY, CERTIFICATE))
        return authority, key, certificate


def check_is_valid_now(directory: Path) -> None:
    """Checks the period of a certificate by a TLS handshake in memory; Python cannot read certificates otherwise.

    Raises:
        ssl.SSLCertVerificationError: if the certificate has ended or has not begun.
    """
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.load_cert_chain(directory / CERTIFICATE, directory / KEY)
    client.load_verify_locations(directory / AUTHORITY)
    client.check_hostname = False
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)]
    # The client checks the certificate in its second step, after the server's first.
    for end in (*ends, ends[0]):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError as error:
            if error.verify_code in _PERIOD_ERRORS:
                raise
            # Such as another authority during its rotation: the other end decides.


def tenant_uri(tenant_id: str) -> str:
    """URI that names a tenant in a certificate."""
    return TENANT_URI + quote(tenant_id, safe="")


def load_identity(
    directory: Path | None, domain: str, client_tenants: frozenset[str] = DEFAULT_TENANT
) -> Identity | None:
    """Identity from a directory; None, which means no TLS, if the directory is None."""
    return None if directory is None else Identity(directory, domain, client_tenants)
