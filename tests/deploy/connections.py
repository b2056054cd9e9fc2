"""Allowed connections: those in the documents, and those in the NetworkPolicies of an overlay."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from pantree_cli.mesh import OPTIONAL_PARTS, PARTS
from tests.deploy.manifests import NAME, ROOT, Manifest, of_kind


class Connection(NamedTuple):
    """A connection that is allowed."""

    caller: str
    called: str
    port: int


def documented_connections(document: Path, heading: str) -> set[tuple[str, str]]:
    """Callers and callees in the first table `| caller | called |` after a heading or phrase."""
    text = document.read_text().partition(heading)[2]
    table = text.partition("| caller | called |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|.*$", table, re.MULTILINE)
    return {(caller, called) for caller, called in rows if not set(caller) <= set("-")}


PART_NAMES = frozenset(part.name for part in PARTS)
EVERY_PART = {
    "matchExpressions": [
        {"key": "app.kubernetes.io/component", "operator": "In", "values": ["gateway", "grpc-service"]}
    ]
}
"""Selector of the pods of all parts, and of no other pods of an overlay."""
DOCUMENTED = documented_connections(ROOT / "docs" / "architecture.md", "Who calls whom")
OPTIONAL_NAMES = frozenset(part.name for part in OPTIONAL_PARTS)
"""Parts that overlays and the compose file leave out unless someone adds them."""
ARCHITECTURE = {(caller, called) for caller, called in DOCUMENTED if called not in OPTIONAL_NAMES}
OUTSIDE = documented_connections(ROOT / "k8s" / "README.md", "## Connections to the outside")


def _peer(peer: dict[str, Any]) -> str:
    """Name of the peer in a rule."""
    if "ipBlock" in peer:
        return "internet"
    pods = peer.get("podSelector", {}).get("matchLabels", {})
    if NAME in pods:
        if "namespaceSelector" in peer:
            assert peer["namespaceSelector"]["matchLabels"] == {"pantree/telemetry": "allowed"}
            assert pods[NAME] not in PART_NAMES, "parts are in this namespace only"
        return str(pods[NAME])
    if pods.get("k8s-app") == "kube-dns":
        assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "kube-system"}
        return "dns"
    assert not pods
    assert peer["namespaceSelector"]["matchLabels"], "a rule for every namespace"
    return "entry"


def _own(selector: dict[str, Any]) -> str:
    """Name of the pods that a policy selects."""
    if "matchExpressions" in selector:
        assert selector == EVERY_PART
        return "every part"
    return str(selector.get("matchLabels", {}).get(NAME, "*"))


def _rules(manifests: list[Manifest], direction: str) -> set[Connection]:
    connections = set()
    for policy in of_kind(manifests, "NetworkPolicy"):
        specification = policy["spec"]
        own = _own(specification["podSelector"])
        for rule in specification.get(direction, []):
            peers = rule["from" if direction == "ingress" else "to"]
            assert peers, "a rule without peers allows all of them"
            assert rule["ports"], "a rule without ports allows all of them"
            for peer in peers:
                for port in rule["ports"]:
                    other = _peer(peer)
                    ends = (other, own) if direction == "ingress" else (own, other)
                    connections.add(Connection(*ends, port["port"]))
    return connections


def ingress_connections(manifests: list[Manifest]) -> set[Connection]:
    """Connections that the callees accept."""
    return _rules(manifests, "ingress")


def egress_connections(manifests: list[Manifest]) -> set[Connection]:
    """Connections that the callers may open, without those to DNS."""
    return {one for one in _rules(manifests, "egress") if one.called != "dns"}
