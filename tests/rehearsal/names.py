"""The cluster's name server, run in its pod: `python -m tests.rehearsal.names FILE LIVE_SECONDS`.

It answers as CoreDNS does for Services: with the address of a Service that has one, with those of all ready pods for a
headless one, and with NXDOMAIN for what there is not. FILE is JSON, addresses by full name, and may change at any time;
what was answered stays the answer for LIVE_SECONDS, as in CoreDNS' cache.
"""

import json
import sys
import time
from pathlib import Path

from dnslib import QTYPE, RCODE, RR, A, DNSRecord
from dnslib.server import BaseResolver, DNSServer

PORT = 53


class Names(BaseResolver):  # type: ignore[misc] # dnslib has no types
    """Answers from a file."""

    def __init__(self, file: Path, live_seconds: float) -> None:
        self._file = file
        self._live_seconds = live_seconds
        self._kept: dict[str, tuple[float, list[str] | None]] = {}

    def addresses(self, name: str) -> list[str] | None:
        """Addresses of a name, perhaps none just now; None for a name that there is not."""
        until, addresses = self._kept.get(name, (0.0, None))
        now = time.monotonic()
        if now >= until:
            addresses = json.loads(self._file.read_text()).get(name)
            self._kept[name] = (now + self._live_seconds, addresses)
        return addresses

    def resolve(self, request: DNSRecord, _: object) -> DNSRecord:
        """The reply to a question."""
        reply = request.reply()
        addresses = self.addresses(str(request.q.qname).rstrip(".").lower())
        if addresses is None:
            reply.header.rcode = RCODE.NXDOMAIN
        elif request.q.qtype == QTYPE.A:
            for address in addresses:
                reply.add_answer(RR(request.q.qname, QTYPE.A, rdata=A(address), ttl=int(self._live_seconds)))
        return reply


def main() -> None:
    """Serves over UDP and TCP until it is ended."""
    names = Names(Path(sys.argv[1]), float(sys.argv[2]))
    DNSServer(names, address="0.0.0.0", port=PORT).start_thread()
    DNSServer(names, address="0.0.0.0", port=PORT, tcp=True).start()


if __name__ == "__main__":
    main()
