"""The cluster's name server, run in a pod: `python -m tests.cluster_simulation.name_server FILE TTL_SECONDS`.

It answers like CoreDNS: with a Service's cluster IP, with the addresses of all ready pods for a headless Service, and
with NXDOMAIN for an unknown name. FILE is JSON, addresses by full name, and may change at any time; answers are cached
for TTL_SECONDS, as in CoreDNS.
"""

import json
import sys
import time
from pathlib import Path

from dnslib import QTYPE, RCODE, RR, A, DNSRecord
from dnslib.server import BaseResolver, DNSServer

PORT = 53


class Names(BaseResolver):  # type: ignore[misc] # dnslib has no types
    """Resolves names from a file."""

    def __init__(self, file: Path, ttl_seconds: float) -> None:
        self._file = file
        self._ttl_seconds = ttl_seconds
        self._cache: dict[str, tuple[float, list[str] | None]] = {}

    def addresses(self, name: str) -> list[str] | None:
        """Addresses of a name, possibly none; None for an unknown name."""
        until, addresses = self._cache.get(name, (0.0, None))
        now = time.monotonic()
        if now >= until:
            addresses = json.loads(self._file.read_text()).get(name)
            self._cache[name] = (now + self._ttl_seconds, addresses)
        return addresses

    def resolve(self, request: DNSRecord, _: object) -> DNSRecord:
        """The reply to a query."""
        reply = request.reply()
        addresses = self.addresses(str(request.q.qname).rstrip(".").lower())
        if addresses is None:
            reply.header.rcode = RCODE.NXDOMAIN
        elif request.q.qtype == QTYPE.A:
            for address in addresses:
                reply.add_answer(RR(request.q.qname, QTYPE.A, rdata=A(address), ttl=int(self._ttl_seconds)))
        return reply


def main() -> None:
    """Serves over UDP and TCP until the process is terminated."""
    names = Names(Path(sys.argv[1]), float(sys.argv[2]))
    DNSServer(names, address="0.0.0.0", port=PORT).start_thread()
    DNSServer(names, address="0.0.0.0", port=PORT, tcp=True).start()


if __name__ == "__main__":
    main()
