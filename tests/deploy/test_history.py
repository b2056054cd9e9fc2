"""The optional part history: the components that add it to an overlay, with SQLite and with PostgreSQL."""

import functools
import shutil
import subprocess
import tempfile
from ipaddress import ip_address, ip_network
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from pantree_cli.mesh import OPTIONAL_PARTS
from pantree_history.core.webhooks.addresses import is_public
from pantree_history.settings import HistorySettings
from pantree_runtime.identity import ALLOWED_CALLERS, CLIENT
from pantree_runtime.settings import environment_variables
from tests.deploy.connections import DOCUMENTED, OPTIONAL_NAMES, egress_connections, ingress_connections
from tests.deploy.manifests import ROOT, Manifest, environment_of, kustomize, named, of_kind, pod_of, server_of

SQLITE = ("history",)
POSTGRESQL = ("history", "history-postgresql", "history-webhooks")
(PART,) = OPTIONAL_PARTS


@functools.cache
def rendered(overlay: str, components: tuple[str, ...]) -> list[Manifest]:
    """An overlay to which an operator adds components, in the order of k8s/README.md."""
    with tempfile.TemporaryDirectory() as copy:
        tree = Path(shutil.copytree(ROOT / "k8s", Path(copy) / "k8s"))
        file = tree / "overlays" / overlay / "kustomization.yaml"
        text = file.read_text().replace("choose-access", "access-open")
        added = "".join(f"  - ../../components/{name}\n" for name in components)
        text = text.replace("components:\n", f"components:\n{added}", 1)
        if overlay == "prod":
            text = text.replace("components/mtls\n", "components/mtls\n  - ../../components/history-mtls\n")
        file.write_text(text)
        command = [*kustomize(), str(file.parent)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [manifest for manifest in yaml.safe_load_all(output) if manifest is not None]


CASES = pytest.mark.parametrize(
    ("overlay", "components"), [("dev", SQLITE), ("prod", POSTGRESQL)], ids=["dev, SQLite", "prod, PostgreSQL"]
)


@CASES
def test_manifests_pass_the_schemas_and_connections_are_those_of_the_documents(
    overlay: str, components: tuple[str, ...]
) -> None:
    manifests = rendered(overlay, components)
    custom = {"Certificate", "Cluster", "ExternalSecret", "HTTPRoute", "Issuer", "PodMonitor", "TLSRoute"}
    for manifest in manifests:
        if manifest["kind"] not in custom:
            kubernetes_validate.validate(manifest, "1.37", strict=True)
    inside = {
        (one.caller, one.called) for one in ingress_connections(manifests) if one.called == PART.name and one.caller
    } - {("prometheus", PART.name)}
    assert inside == {(caller, called) for caller, called in DOCUMENTED if called in OPTIONAL_NAMES}
    assert {caller for caller, _ in inside} == ALLOWED_CALLERS[PART.name] - {CLIENT}


@CASES
def test_settings_are_accepted_and_reach_the_callers(
    overlay: str, components: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = rendered(overlay, components)
    for caller in ("gateway", "pipeline"):
        assert environment_of(manifests, caller)["PANTREE_HISTORY_ADDRESS"] == f"dns:///history:{PART.port}"
    settings = environment_of(manifests, PART.name)
    assert set(settings) <= set(environment_variables(HistorySettings))
    for variable, value in settings.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("PANTREE_HISTORY_LEDGER_KEY", "from a Secret of the cluster")
    found = HistorySettings(_env_file=None)  # type: ignore[call-arg] # pydantic-settings' own
    assert (found.host, found.port) == ("0.0.0.0", PART.port)
    assert found.store.system == ("postgresql" if "history-postgresql" in components else "sqlite")
    assert (found.tls_dir is not None) == (overlay == "prod")


def test_webhooks_go_to_public_addresses_on_one_port() -> None:
    manifests = rendered("prod", POSTGRESQL)
    (rule,) = named(manifests, "NetworkPolicy", "history-to-webhooks")["spec"]["egress"]
    assert rule["ports"] == [{"port": 443}]
    blocks = [
        (ip_network(one["ipBlock"]["cidr"]), [ip_network(network) for network in one["ipBlock"]["except"]])
        for one in rule["to"]
    ]
    for address, allowed in {
        "93.184.215.14": True, "2606:2800:21f::1": True, "10.96.0.1": False, "172.20.0.1": False,
        "192.168.1.1": False, "169.254.169.254": False, "100.100.100.200": False, "fd00::1": False, "fe80::1": False,
    }.items():  # fmt: skip
        is_allowed = any(
            ip_address(address) in block and not any(ip_address(address) in one for one in excluded)
            for block, excluded in blocks
        )
        assert is_allowed == allowed == is_public(address), address


@CASES
def test_pod_is_restricted_and_has_the_usual_probes(overlay: str, components: tuple[str, ...]) -> None:
    manifests = rendered(overlay, components)
    deployment = named(manifests, "Deployment", PART.name)
    pod, server = pod_of(deployment), server_of(manifests, PART.name)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert server["securityContext"]["readOnlyRootFilesystem"] is True
    assert server["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert {port["containerPort"] for port in server["ports"]} >= {PART.port}
    own_volumes = [volume["persistentVolumeClaim"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume]
    claims = {volume["claimName"] for volume in own_volumes}
    volumes = {claim["metadata"]["name"] for claim in of_kind(manifests, "PersistentVolumeClaim")} & {"history"}
    if "history-postgresql" in components:
        assert claims == volumes == set()
        assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]["type"]) == (2, "RollingUpdate")
        assert {"secretRef": {"name": "history-credentials"}} in server["envFrom"]
        (certificate,) = [volume for volume in pod["volumes"] if volume["name"] == "certificate"]
        assert certificate["secret"]["secretName"] == "history-tls"
        return
    assert claims == volumes == {"history"}
    # Two processes must not write one file.
    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]) == (1, {"type": "Recreate"})
    mounts = {mount["mountPath"] for mount in server["volumeMounts"]}
    assert (
        environment_of(manifests, PART.name)["PANTREE_HISTORY_STORE_URL"]
        .removeprefix("sqlite://")
        .startswith(tuple(mounts))
    )


def test_cluster_of_cloudnativepg_is_what_the_store_needs() -> None:
    """CloudNativePG's schema is not available, so its fields are compared with what its API documents."""
    cluster = named(rendered("prod", POSTGRESQL), "Cluster", "history-database")
    assert cluster["apiVersion"] == "postgresql.cnpg.io/v1"
    spec = cluster["spec"]
    names = {"instances", "imageName", "primaryUpdateStrategy", "bootstrap", "postgresql", "storage", "resources"}
    assert set(spec) == {*names, "inheritedMetadata"}
    database = named(rendered("prod", POSTGRESQL), "NetworkPolicy", "history-database")
    assert database["spec"]["podSelector"]["matchLabels"] == spec["inheritedMetadata"]["labels"]
    assert int(spec["imageName"].rpartition(":")[2].partition(".")[0]) >= 15
    initdb = spec["bootstrap"]["initdb"]
    url = environment_of(rendered("prod", POSTGRESQL), PART.name)["PANTREE_HISTORY_STORE_URL"]
    assert url.startswith(f"postgresql://{initdb['owner']}@{cluster['metadata']['name']}-rw:5432/{initdb['database']}")
    assert "CREATE ROLE pantree_history NOLOGIN" in initdb["postInitApplicationSQL"]
    assert f"GRANT pantree_history TO {initdb['owner']}" in initdb["postInitApplicationSQL"]
    assert spec["postgresql"]["synchronous"] == {"method": "any", "number": 1}
    egress = egress_connections(rendered("dev", SQLITE))
    assert {one.called for one in egress if one.caller == PART.name} == set()
