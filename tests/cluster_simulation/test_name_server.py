"""The cluster's name server answers like CoreDNS."""

import json
from pathlib import Path

import pytest
from dnslib import QTYPE, RCODE, DNSRecord

from tests.cluster_simulation.name_server import Names

HEADLESS = "pipeline.pantree.svc.cluster.local"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "names.json"
    file.write_text(json.dumps({HEADLESS: ["10.0.0.1", "10.0.0.2"], "empty.pantree.svc.cluster.local": []}))
    return file


def answer(names: Names, name: str, kind: str = "A") -> tuple[str, list[str]]:
    """Code and addresses of an answer, after encoding and decoding."""
    reply = DNSRecord.parse(names.resolve(DNSRecord.question(name, kind), None).pack())
    return RCODE[reply.header.rcode], [str(record.rdata) for record in reply.rr if record.rtype == QTYPE.A]


def test_headless_service_resolves_to_all_pods(file: Path) -> None:
    assert answer(Names(file, 30), HEADLESS) == ("NOERROR", ["10.0.0.1", "10.0.0.2"])
    assert answer(Names(file, 30), HEADLESS.upper()) == ("NOERROR", ["10.0.0.1", "10.0.0.2"])


def test_service_without_a_ready_pod_resolves_to_no_address(file: Path) -> None:
    assert answer(Names(file, 30), "empty.pantree.svc.cluster.local") == ("NOERROR", [])


def test_unknown_name_is_nxdomain(file: Path) -> None:
    assert answer(Names(file, 30), "pipeline.elsewhere.svc.cluster.local") == ("NXDOMAIN", [])


def test_ipv6_query_returns_no_address(file: Path) -> None:
    assert answer(Names(file, 30), HEADLESS, "AAAA") == ("NOERROR", [])


def test_answer_is_cached_for_its_ttl(file: Path) -> None:
    cached, uncached = Names(file, 1000), Names(file, 0)
    assert answer(cached, HEADLESS) == answer(uncached, HEADLESS)
    file.write_text(json.dumps({HEADLESS: ["10.0.0.3"]}))
    assert answer(cached, HEADLESS)[1] == ["10.0.0.1", "10.0.0.2"]
    assert answer(uncached, HEADLESS)[1] == ["10.0.0.3"]
