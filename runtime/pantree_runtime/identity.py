"""Who a part is, and who may call it: TLS from files, and the names in certificates.

A part's certificate names it as `<part>.<domain>`, such as `pipeline.pantree.internal`, among its DNS names. Callers
ask for that name whatever address they connect to, so no part can stand in for another; servers take callers with a
certificate of the same authority only, and let each call what `ALLOWED_CALLERS` says.
"""

import os
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path

import grpc
import structlog

from pantree_runtime import telemetry
from pantree_runtime.errors import PermissionDenied
from pantree_runtime.grpc_types import Context

_log = structlog.get_logger(__name__)

CLIENT = "client"
"""Name of whoever is not a part of the mesh: back ends, people at a terminal."""

ALLOWED_CALLERS: Mapping[str, frozenset[str]] = {
    "pipeline": frozenset({"gateway", CLIENT}),
    "simulation": frozenset({"gateway", "pipeline", CLIENT}),
    "vector": frozenset({"pipeline", CLIENT}),
    "frequency": frozenset({"pipeline", CLIENT}),
    "enrichment": frozenset({"pipeline"}),
    "recommendation": frozenset({"pipeline"}),
}
"""Who may call which part. docs/architecture.md says what for; a test compares the two."""

# As in a Kubernetes Secret of type `kubernetes.io/tls` made by cert-manager.
CERTIFICATE, KEY, AUTHORITY = "tls.crt", "tls.key", "ca.crt"


class Identity:
    """Certificate and key of this part, and the authority that signs for all parts; reloaded when they change."""

    def __init__(self, folder: Path, domain: str) -> None:
        """Reads the files for the first time.

        Args:
            folder: holds `tls.crt`, `tls.key` and `ca.crt`, in PEM.
            domain: what the names of all parts end with.

        Raises:
            OSError: when a file is missing or does not fit the others.
        """
        self._folder = folder
        self._domain = domain
        self._lock = threading.Lock()
        self._seen = self._stamp()
        self._pem = self._read()
        self.version = 0
        """Counts up when the files have changed."""

    def server_credentials(self) -> grpc.ServerCredentials:
        """Credentials of a server that asks callers for a certificate, and looks at the files with each handshake."""
        return grpc.dynamic_ssl_server_credentials(
            self._server_configuration(), self._server_configuration, require_client_authentication=True
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Credentials of a channel, from the files as they are now."""
        authority, key, certificate = self._current()
        return grpc.ssl_channel_credentials(authority, key, certificate)

    def name_of(self, part: str) -> str:
        """Name that a part's certificate must have."""
        return f"{part}.{self._domain}"

    def refresh(self) -> int:
        """Looks at the files, and returns the version that is current now."""
        self._current()
        return self.version

    def check_caller(self, part: str, context: Context) -> None:
        """Checks that the caller of a part may call it.

        Raises:
            PermissionDenied: when not.
        """
        names = context.auth_context().get("x509_subject_alternative_name", [])
        callers = [name.decode(errors="replace") for name in names]
        ending = f".{self._domain}"
        allowed = ALLOWED_CALLERS.get(part, frozenset())
        if any(name.endswith(ending) and name.removesuffix(ending) in allowed for name in callers):
            return
        telemetry.CALLS_REFUSED.labels("permission_denied").inc()
        shown = ", ".join(callers) or "without a name"
        _log.warning("caller refused", reason=f"its certificate is for {shown}, which may not call {part}")
        raise PermissionDenied(
            f"a certificate for {shown} may not call {part}; {', '.join(sorted(allowed))} at {self._domain} may"
        )

    def _server_configuration(self) -> grpc.ServerCertificateConfiguration:
        authority, key, certificate = self._current()
        return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=authority)

    def _current(self) -> tuple[bytes, bytes, bytes]:
        """Authority, key and certificate. Files that do not fit together are left alone until they do."""
        with self._lock:
            try:
                stamp = self._stamp()
                if stamp != self._seen:
                    self._pem = self._read()
                    self._seen = stamp
                    self.version += 1
                    _log.info("certificate reloaded", dir=str(self._folder))
            except OSError as error:
                _log.warning("certificate cannot be reloaded; the old one stays in use", reason=str(error))
            return self._pem

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        """Changes when a file does. Kubernetes swaps a link, which changes what `stat` sees, too."""
        try:
            stats = [os.stat(self._folder / name) for name in (CERTIFICATE, KEY, AUTHORITY)]
        except OSError as error:
            raise OSError(f"TLS needs {error.filename}: {error.strerror}") from error
        return tuple((stat.st_ino, stat.st_mtime_ns) for stat in stats)

    def _read(self) -> tuple[bytes, bytes, bytes]:
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_cert_chain(self._folder / CERTIFICATE, self._folder / KEY)
            context.load_verify_locations(self._folder / AUTHORITY)
        except ssl.SSLError as error:
            what = f"{CERTIFICATE}, {KEY} and {AUTHORITY} in {self._folder}"
            raise OSError(f"{what} are not PEM, or do not belong together: {error.reason or error}") from error
        authority, key, certificate = ((self._folder / name).read_bytes() for name in (AUTHORITY, KEY, CERTIFICATE))
        return authority, key, certificate


def load_identity(folder: Path | None, domain: str) -> Identity | None:
    """Identity from a folder; None when there is none, which means no TLS.

    Raises:
        OSError: when a file is missing or does not fit the others.
    """
    return None if folder is None else Identity(folder, domain)
