"""The cluster's name server: as CoreDNS answers."""

import json
from pathlib import Path

import pytest
from dnslib import QTYPE, RCODE, DNSRecord

from tests.rehearsal.names import Names

HEADLESS = "pipeline.pantree.svc.cluster.local"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "names.json"
    file.write_text(json.dumps({HEADLESS: ["10.0.0.1", "10.0.0.2"], "empty.pantree.svc.cluster.local": []}))
    return file


def answer(names: Names, name: str, kind: str = "A") -> tuple[str, list[str]]:
    """Code and addresses of an answer, as they go over the wire."""
    reply = DNSRecord.parse(names.resolve(DNSRecord.question(name, kind), None).pack())
    return RCODE[reply.header.rcode], [str(record.rdata) for record in reply.rr if record.rtype == QTYPE.A]


def test_headless_service_has_the_addresses_of_all_pods(file: Path) -> None:
    assert answer(Names(file, 30), HEADLESS) == ("NOERROR", ["10.0.0.1", "10.0.0.2"])
    assert answer(Names(file, 30), HEADLESS.upper()) == ("NOERROR", ["10.0.0.1", "10.0.0.2"])


def test_service_without_a_ready_pod_is_known_and_has_no_address(file: Path) -> None:
    assert answer(Names(file, 30), "empty.pantree.svc.cluster.local") == ("NOERROR", [])


def test_name_that_there_is_not_is_nxdomain(file: Path) -> None:
    assert answer(Names(file, 30), "pipeline.elsewhere.svc.cluster.local") == ("NXDOMAIN", [])


def test_only_addresses_of_the_fourth_version_are_told(file: Path) -> None:
    assert answer(Names(file, 30), HEADLESS, "AAAA") == ("NOERROR", [])


def test_answer_stays_as_long_as_it_lives(file: Path) -> None:
    keeping, forgetting = Names(file, 1000), Names(file, 0)
    assert answer(keeping, HEADLESS) == answer(forgetting, HEADLESS)
    file.write_text(json.dumps({HEADLESS: ["10.0.0.3"]}))
    assert answer(keeping, HEADLESS)[1] == ["10.0.0.1", "10.0.0.2"]
    assert answer(forgetting, HEADLESS)[1] == ["10.0.0.3"]
