"""NetworkPolicies and Services as nftables rules.

The rules are derived from the manifests only. They are loaded in the network namespace of the node, which forwards all
packets between pods.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Endpoint:
    """A pod, as seen by policies and Services."""

    namespace: str
    labels: Mapping[str, str]
    ip: str


def selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches these labels; an empty one matches all.

    Raises:
        ValueError: for an unknown operator.
    """
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for expression in selector.get("matchExpressions", []):
        key, values = expression["key"], expression.get("values", [])
        match expression["operator"]:
            case "In":
                matches = labels.get(key) in values
            case "NotIn":
                matches = labels.get(key) not in values
            case "Exists":
                matches = key in labels
            case "DoesNotExist":
                matches = key not in labels
            case operator:
                raise ValueError(f"unknown selector operator {operator}")
        if not matches:
            return False
    return True


def policy_rules(
    policies: Sequence[Manifest], endpoints: Sequence[Endpoint], namespaces: Mapping[str, Mapping[str, str]]
) -> str:
    """NetworkPolicies as an nftables table that replaces the previous one.

    As in Kubernetes, a pod selected by a policy for a direction accepts only what some policy allows in that direction,
    and both ends must allow a connection.

    Args:
        policies: the NetworkPolicies, each with its namespace.
        endpoints: all pods.
        namespaces: labels of each namespace.

    Raises:
        ValueError: when a policy uses an unsupported field; none is ignored silently.
    """
    chains = []
    for direction, kind, peers, own_side, other_side in (
        ("egress", "Egress", "to", "saddr", "daddr"),
        ("ingress", "Ingress", "from", "daddr", "saddr"),
    ):
        restricted: set[str] = set()
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
            restricted |= own
            for rule in specification.get(direction, []):
                for peer in _peers(rule.get(peers), namespace, other_side, endpoints, namespaces):
                    lines += [f"ip {own_side} {_set(own)} {peer} {port} return" for port in _ports(rule) if own]
        if restricted:
            lines.append(f"ip {own_side} {_set(restricted)} drop")
        chains.append(_chain(direction, *lines))
    # The forward chain does not see the probes of the node; every network plug-in allows them.
    forward = ["type filter hook forward priority filter", "policy drop", "ct state established,related accept"]
    to_node = ["type filter hook input priority filter", "policy drop", "ct state established,related accept"]
    return _table(
        "inet policies",
        *chains,
        _chain("forward", *forward, "jump egress", "jump ingress", "accept"),
        _chain("input", *to_node, 'iifname "lo" accept', "icmp type echo-reply accept"),
    )


def service_rules(services: Sequence[Manifest], ready: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]) -> str:
    """Services with a cluster IP, as an nftables table that replaces the previous one.

    Args:
        services: Services with namespace and `clusterIP`; headless ones need no rule.
        ready: pods behind each Service, by its namespace and name: `ip`, and `ports`, port numbers by name.
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
    """nftables matches for the peers of a rule; a rule without peers matches all."""
    if not peers:
        yield ""
        return
    for peer in peers:
        if unknown := set(peer) - {"ipBlock", "podSelector", "namespaceSelector"}:
            raise ValueError(f"unsupported fields {sorted(unknown)} of a peer")
        if "ipBlock" in peer:
            block = peer["ipBlock"]
            exceptions = f"ip {side} != {_set(block['except'])} " if block.get("except") else ""
            yield f"ip {side} {block['cidr']} {exceptions}".strip()
            continue
        in_namespaces = {
            name
            for name, labels in namespaces.items()
            if (selects(peer["namespaceSelector"], labels) if "namespaceSelector" in peer else name == own_namespace)
        }
        chosen = {
            endpoint.ip
            for endpoint in endpoints
            if endpoint.namespace in in_namespaces and selects(peer.get("podSelector", {}), endpoint.labels)
        }
        if chosen:
            yield f"ip {side} {_set(chosen)}"


def _ports(rule: Manifest) -> Iterator[str]:
    if not rule.get("ports"):
        yield ""
        return
    for port in rule["ports"]:
        if set(port) - {"port", "protocol"} or not isinstance(port["port"], int):
            raise ValueError(f"unsupported port {port}; only port numbers are supported")
        yield f"{port.get('protocol', 'TCP').lower()} dport {port['port']}"


def _set(values: Sequence[str] | set[str]) -> str:
    return "{ " + ", ".join(sorted(values)) + " }"


def _chain(name: str, *lines: str) -> str:
    return f"  chain {name} {{\n" + "".join(f"    {line}\n" for line in lines) + "  }\n"


def _table(name: str, *chains: str) -> str:
    """A table that replaces the previous one in a single transaction, so that no packet passes in between."""
    return f"table {name}\ndelete table {name}\ntable {name} {{\n{''.join(chains)}}}\n"
