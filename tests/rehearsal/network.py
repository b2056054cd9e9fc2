"""What a cluster's network does, as nftables rules: NetworkPolicies decide who is let through, Services choose a pod.

Both are made from the manifests alone. The rules belong into the network namespace of the node, which forwards all
packets between pods.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Endpoint:
    """A pod as policies and Services see it."""

    namespace: str
    labels: Mapping[str, str]
    ip: str


def selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    """Whether a label selector takes these labels; an empty one takes all.

    Raises:
        ValueError: for an operator that is not known here.
    """
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for expression in selector.get("matchExpressions", []):
        key, values = expression["key"], expression.get("values", [])
        match expression["operator"]:
            case "In":
                taken = labels.get(key) in values
            case "NotIn":
                taken = labels.get(key) not in values
            case "Exists":
                taken = key in labels
            case "DoesNotExist":
                taken = key not in labels
            case operator:
                raise ValueError(f"operator {operator} of a selector is not known")
        if not taken:
            return False
    return True


def policy_rules(
    policies: Sequence[Manifest], endpoints: Sequence[Endpoint], namespaces: Mapping[str, Mapping[str, str]]
) -> str:
    """NetworkPolicies as a table of nftables that takes the place of the one before.

    As Kubernetes has it: a pod that a policy selects for a direction is closed in that direction but for what some
    policy opens, and a connection needs both its ends' consent.

    Args:
        policies: the NetworkPolicies, each with its namespace.
        endpoints: all pods.
        namespaces: labels of each namespace.

    Raises:
        ValueError: when a policy says what is not understood here; nothing is left out silently.
    """
    chains = []
    for direction, kind, peers, own_side, other_side in (
        ("egress", "Egress", "to", "saddr", "daddr"),
        ("ingress", "Ingress", "from", "daddr", "saddr"),
    ):
        closed: set[str] = set()
        lines = []
        for policy in policies:
            specification, namespace = policy["spec"], policy["metadata"]["namespace"]
            if kind not in specification["policyTypes"]:
                continue
            own = {
                endpoint.ip
                for endpoint in endpoints
                if endpoint.namespace == namespace and selects(specification["podSelector"], endpoint.labels)
            }
            closed |= own
            for rule in specification.get(direction, []):
                for peer in _peers(rule.get(peers), namespace, other_side, endpoints, namespaces):
                    lines += [f"ip {own_side} {_set(own)} {peer} {port} return" for port in _ports(rule) if own]
        if closed:
            lines.append(f"ip {own_side} {_set(closed)} drop")
        chains.append(_chain(direction, *lines))
    # The node itself, where probes come from, is not among those who are forwarded: every network plug-in lets it in.
    forward = ["type filter hook forward priority filter", "policy drop", "ct state established,related accept"]
    to_the_node = ["type filter hook input priority filter", "policy drop", "ct state established,related accept"]
    return _table(
        "inet policies",
        *chains,
        _chain("forward", *forward, "jump egress", "jump ingress", "accept"),
        _chain("input", *to_the_node, 'iifname "lo" accept', "icmp type echo-reply accept"),
    )


def service_rules(services: Sequence[Manifest], ready: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]) -> str:
    """Services with an address of their own, as a table of nftables that takes the place of the one before.

    Args:
        services: Services with namespace and `clusterIP`; headless ones are no concern of the network.
        ready: pods behind each Service, by its namespace and name: `ip`, and `ports`, the numbers of the named ones.
    """
    lines = []
    for service in services:
        specification = service["spec"]
        pods = ready.get((service["metadata"]["namespace"], service["metadata"]["name"]), [])
        if specification["clusterIP"] == "None" or not pods:
            continue
        for port in specification["ports"]:
            target = port.get("targetPort", port["port"])
            choices = ", ".join(
                f"{number} : {pod['ip']} . {target if isinstance(target, int) else pod['ports'][target]}"
                for number, pod in enumerate(pods)
            )
            protocol = port.get("protocol", "TCP").lower()
            lines.append(
                f"ip daddr {specification['clusterIP']} {protocol} dport {port['port']} "
                f"dnat ip to numgen random mod {len(pods)} map {{ {choices} }}"
            )
    return _table("inet services", _chain("choose", "type nat hook prerouting priority dstnat", *lines))


def _peers(
    peers: Sequence[Manifest] | None,
    own_namespace: str,
    side: str,
    endpoints: Sequence[Endpoint],
    namespaces: Mapping[str, Mapping[str, str]],
) -> Iterator[str]:
    """The other ends that a rule names, as matches; no peers at all are everybody."""
    if not peers:
        yield ""
        return
    for peer in peers:
        if unknown := set(peer) - {"ipBlock", "podSelector", "namespaceSelector"}:
            raise ValueError(f"a peer with {sorted(unknown)} is not known")
        if "ipBlock" in peer:
            block = peer["ipBlock"]
            excepted = f"ip {side} != {_set(block['except'])} " if block.get("except") else ""
            yield f"ip {side} {block['cidr']} {excepted}".strip()
            continue
        among = {
            name
            for name, labels in namespaces.items()
            if (selects(peer["namespaceSelector"], labels) if "namespaceSelector" in peer else name == own_namespace)
        }
        chosen = {
            endpoint.ip
            for endpoint in endpoints
            if endpoint.namespace in among and selects(peer.get("podSelector", {}), endpoint.labels)
        }
        if chosen:
            yield f"ip {side} {_set(chosen)}"


def _ports(rule: Manifest) -> Iterator[str]:
    if not rule.get("ports"):
        yield ""
        return
    for port in rule["ports"]:
        if set(port) - {"port", "protocol"} or not isinstance(port["port"], int):
            raise ValueError(f"a port {port} is not known; numbers are")
        yield f"{port.get('protocol', 'TCP').lower()} dport {port['port']}"


def _set(values: Sequence[str] | set[str]) -> str:
    return "{ " + ", ".join(sorted(values)) + " }"


def _chain(name: str, *lines: str) -> str:
    return f"  chain {name} {{\n" + "".join(f"    {line}\n" for line in lines) + "  }\n"


def _table(name: str, *chains: str) -> str:
    """A table in one transaction with the end of the former one: no packet passes in between."""
    return f"table {name}\ndelete table {name}\ntable {name} {{\n{''.join(chains)}}}\n"
