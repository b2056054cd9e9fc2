"""Who may talk to whom: as the documents say, and as the NetworkPolicies of an overlay allow."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from pantree_cli.mesh import PARTS
from tests.deploy.manifests import NAME, ROOT, Manifest, of_kind


class Edge(NamedTuple):
    """A caller that may reach a called one on a port."""

    caller: str
    called: str
    port: int


def documented_edges(document: Path, heading: str) -> set[tuple[str, str]]:
    """Callers and called ones in the table that starts with `| caller | called |` after a heading or phrase."""
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
"""Selects the pods of the parts, and nothing else that an overlay may hold."""
ARCHITECTURE = documented_edges(ROOT / "docs" / "architecture.md", "Who calls whom")
OUTSIDE = documented_edges(ROOT / "k8s" / "README.md", "## Edges to the outside")


def _peer(peer: dict[str, Any]) -> str:
    """Name of the other end of a rule."""
    if "ipBlock" in peer:
        return "internet"
    pods = peer.get("podSelector", {}).get("matchLabels", {})
    if NAME in pods:
        if "namespaceSelector" in peer:
            assert peer["namespaceSelector"]["matchLabels"] == {"pantree/telemetry": "allowed"}
            assert pods[NAME] not in PART_NAMES, "a part of another namespace is none of ours"
        return str(pods[NAME])
    if pods.get("k8s-app") == "kube-dns":
        assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "kube-system"}
        return "dns"
    assert not pods
    assert peer["namespaceSelector"]["matchLabels"], "a rule for every namespace"
    return "entry"


def _own(selector: dict[str, Any]) -> str:
    """Name of those whom a policy is about."""
    if "matchExpressions" in selector:
        assert selector == EVERY_PART
        return "every part"
    return str(selector.get("matchLabels", {}).get(NAME, "*"))


def _rules(manifests: list[Manifest], direction: str) -> set[Edge]:
    edges = set()
    for policy in of_kind(manifests, "NetworkPolicy"):
        specification = policy["spec"]
        own = _own(specification["podSelector"])
        for rule in specification.get(direction, []):
            peers = rule["from" if direction == "ingress" else "to"]
            assert peers, "a rule without peers lets everybody in"
            assert rule["ports"], "a rule without ports opens all of them"
            for peer in peers:
                for port in rule["ports"]:
                    other = _peer(peer)
                    edges.add(
                        Edge(other, own, port["port"]) if direction == "ingress" else Edge(own, other, port["port"])
                    )
    return edges


def ingress_edges(manifests: list[Manifest]) -> set[Edge]:
    """Edges that the called ones let in."""
    return _rules(manifests, "ingress")


def egress_edges(manifests: list[Manifest]) -> set[Edge]:
    """Edges that the callers are let out to; those to DNS left out."""
    return {edge for edge in _rules(manifests, "egress") if edge.called != "dns"}
