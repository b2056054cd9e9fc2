"""The nftables rules, as text. `test_cluster_simulation` loads them into a real kernel."""

import re

import pytest

from tests.cluster_simulation.network import Endpoint, Manifest, policy_rules, selects, service_rules

POD = Endpoint("shop", {"app": "basket"}, "10.0.0.1")
CALLER = Endpoint("shop", {"app": "ingress"}, "10.0.0.2")
STRANGER = Endpoint("street", {"app": "ingress"}, "10.0.0.3")
NAMESPACES = {"shop": {"name": "shop"}, "street": {"name": "street"}}


def policy(**specification: object) -> Manifest:
    return {"metadata": {"name": "any", "namespace": "shop"}, "spec": specification}


def chain(text: str, name: str) -> list[str]:
    return [line.strip() for line in text.partition(f"chain {name} {{\n")[2].partition("  }")[0].splitlines()]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({}, True),
        ({"matchLabels": {"app": "basket"}}, True),
        ({"matchLabels": {"app": "ingress"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["basket", "ingress"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["basket"]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
        ({"matchLabels": {"app": "basket"}, "matchExpressions": [{"key": "tier", "operator": "Exists"}]}, False),
    ],
)
def test_selector_matches_labels(selector: Manifest, expected: bool) -> None:
    assert selects(selector, {"app": "basket"}) is expected


def test_selector_with_an_unknown_operator_is_an_error() -> None:
    with pytest.raises(ValueError, match="Near"):
        selects({"matchExpressions": [{"key": "app", "operator": "Near"}]}, {})


def test_deny_all_blocks_only_pods_of_its_namespace() -> None:
    text = policy_rules(
        [policy(podSelector={}, policyTypes=["Ingress", "Egress"])], [POD, CALLER, STRANGER], NAMESPACES
    )
    assert chain(text, "ingress") == ["ip daddr { 10.0.0.1, 10.0.0.2 } drop"]
    assert chain(text, "egress") == ["ip saddr { 10.0.0.1, 10.0.0.2 } drop"]


def test_pod_selector_without_namespace_selector_matches_the_same_namespace() -> None:
    rule = {"from": [{"podSelector": {"matchLabels": {"app": "ingress"}}}], "ports": [{"port": 80}]}
    opened = policy(podSelector={"matchLabels": {"app": "basket"}}, policyTypes=["Ingress"], ingress=[rule])
    text = policy_rules([opened], [POD, CALLER, STRANGER], NAMESPACES)
    assert chain(text, "ingress") == [
        "ip daddr { 10.0.0.1 } ip saddr { 10.0.0.2 } tcp dport 80 return",
        "ip daddr { 10.0.0.1 } drop",
    ]
    assert chain(text, "egress") == []


def test_namespace_and_pod_selectors_must_both_match() -> None:
    peer = {
        "namespaceSelector": {"matchLabels": {"name": "street"}},
        "podSelector": {"matchLabels": {"app": "ingress"}},
    }
    rule = {"from": [peer], "ports": [{"port": 80, "protocol": "UDP"}]}
    opened = policy(podSelector={"matchLabels": {"app": "basket"}}, policyTypes=["Ingress"], ingress=[rule])
    text = policy_rules([opened], [POD, CALLER, STRANGER], NAMESPACES)
    assert chain(text, "ingress")[0] == "ip daddr { 10.0.0.1 } ip saddr { 10.0.0.3 } udp dport 80 return"


def test_ip_block_with_exceptions() -> None:
    rule = {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}], "ports": [{"port": 443}]}
    opened = policy(podSelector={}, policyTypes=["Egress"], egress=[rule])
    text = policy_rules([opened], [POD], NAMESPACES)
    line = "ip saddr { 10.0.0.1 } ip daddr 0.0.0.0/0 ip daddr != { 10.0.0.0/8 } tcp dport 443 return"
    assert chain(text, "egress")[0] == line


def test_peer_that_matches_no_pod_allows_nothing() -> None:
    rule = {"from": [{"podSelector": {"matchLabels": {"app": "nobody"}}}], "ports": [{"port": 80}]}
    text = policy_rules([policy(podSelector={}, policyTypes=["Ingress"], ingress=[rule])], [POD], NAMESPACES)
    assert chain(text, "ingress") == ["ip daddr { 10.0.0.1 } drop"]


@pytest.mark.parametrize("port", [{"port": "http"}, {"port": 80, "endPort": 90}])
def test_unsupported_port_is_an_error(port: Manifest) -> None:
    with pytest.raises(ValueError, match="port"):
        policy_rules([policy(podSelector={}, policyTypes=["Ingress"], ingress=[{"ports": [port]}])], [POD], NAMESPACES)


def test_service_balances_over_ready_pods() -> None:
    service = {
        "metadata": {"name": "basket", "namespace": "shop"},
        "spec": {"clusterIP": "10.96.0.5", "ports": [{"port": 80, "targetPort": "http"}]},
    }
    pods = [{"ip": "10.0.0.1", "ports": {"http": 8000}}, {"ip": "10.0.0.4", "ports": {"http": 8000}}]
    (_, line) = chain(service_rules([service], {("shop", "basket"): pods}), "choose")
    assert re.search(
        r"10\.96\.0\.5 tcp dport 80 .*mod 2 map \{ 0 : 10\.0\.0\.1 \. 8000, 1 : 10\.0\.0\.4 \. 8000 \}", line
    )
    assert len(chain(service_rules([service], {}), "choose")) == 1
