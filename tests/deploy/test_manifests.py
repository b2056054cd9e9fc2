"""The manifests: least privilege, probes that match the code, and documented connections only."""

import copy
import re
import tomllib
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml

from pantree.pipeline.v1 import pipeline_service_pb2 as pipeline_pb2
from pantree_cli.mesh import PARTS, ServiceKind
from pantree_gateway.metrics import Metrics
from pantree_runtime import telemetry
from pantree_runtime.identity import ALLOWED_CALLERS, CLIENT
from pantree_runtime.settings import environment_variables
from tests.deploy.connections import (
    ARCHITECTURE,
    EVERY_PART,
    OPTIONAL_NAMES,
    OUTSIDE,
    Connection,
    egress_connections,
    ingress_connections,
)
from tests.deploy.manifests import (
    ACCESS,
    ALTERNATIVES,
    CHOICE,
    NAME,
    OVERLAYS,
    ROOT,
    WORKLOADS,
    containers,
    environment_of,
    is_production,
    named,
    of_kind,
    overlay,
    pod_of,
    server_of,
)
from tests.deploy.parts import health_names, settings_class

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
PART_NAMES = [part.name for part in PARTS]
# The oldest Kubernetes that supports all fields (preStop sleep), and the newest with a schema.
KUBERNETES_VERSIONS = ["1.30", "1.37"]
# Custom resources: Kubernetes has no schemas for them.
CUSTOM_KINDS = {"Certificate", "ExternalSecret", "HTTPRoute", "Issuer", "PodMonitor", "TLSRoute"}

pytestmark = pytest.mark.parametrize("name", OVERLAYS)
of_parts = pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
of_services = pytest.mark.parametrize(
    "part", [part for part in PARTS if part.name != "gateway"], ids=lambda part: part.name
)


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_manifests_pass_the_schemas_of_kubernetes(name: str, version: str) -> None:
    manifests = overlay(name)
    assert {manifest["kind"] for manifest in manifests} >= {"Deployment", "Service", "NetworkPolicy", "ConfigMap"}
    for manifest in manifests:
        if manifest["kind"] not in CUSTOM_KINDS:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_schemas_reject_an_unknown_field(name: str) -> None:
    deployment = copy.deepcopy(named(overlay(name), "Deployment", "frequency"))
    deployment["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, KUBERNETES_VERSIONS[-1], strict=True)


def test_every_part_is_deployed_with_the_project_version(name: str) -> None:
    manifests = overlay(name)
    deployed = {manifest["metadata"]["name"] for manifest in of_kind(manifests, "Deployment")}
    assert deployed >= set(PART_NAMES)
    for part in PART_NAMES:
        image, _, tag = server_of(manifests, part)["image"].rpartition(":")
        assert image.endswith(f"pantree/{part}")
        assert tag == VERSION
        labels = named(manifests, "Deployment", part)["metadata"]["labels"]
        assert labels["app.kubernetes.io/version"] == VERSION
        assert labels[NAME] == part
        assert labels["app.kubernetes.io/part-of"] == "pantree"


def test_every_image_has_a_fixed_tag(name: str) -> None:
    for container in containers(overlay(name)):
        _, separator, tag = container["image"].rpartition("/")[2].partition(":")
        assert separator, f"{container['image']} has no tag"
        assert tag != "latest"


def test_every_container_has_requests_and_limits(name: str) -> None:
    for container in containers(overlay(name)):
        for bound in ("requests", "limits"):
            assert {"cpu", "memory"} <= set(container["resources"][bound]), container["name"]


def test_every_workload_is_restricted(name: str) -> None:
    manifests = overlay(name)
    for workload in of_kind(manifests, *WORKLOADS):
        pod = pod_of(workload)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            read_only = container["securityContext"].get("readOnlyRootFilesystem", False)
            assert read_only or workload["metadata"]["name"] not in PART_NAMES


def test_service_links_are_disabled(name: str) -> None:
    for workload in of_kind(overlay(name), *WORKLOADS):
        assert pod_of(workload)["enableServiceLinks"] is False


@of_services
async def test_probes_of_a_service_use_its_health_names(name: str, part: ServiceKind) -> None:
    container = server_of(overlay(name), part.name)
    (service,) = await health_names(part)
    if f"PANTREE_{part.name.upper()}_TLS_DIR" in environment_of(overlay(name), part.name):
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert "grpc" not in container[probe], "the kubelet does not support TLS"
            assert container[probe]["tcpSocket"] == {"port": "grpc"}
        return
    assert container["startupProbe"]["grpc"] == {"port": part.port, "service": service}
    assert container["readinessProbe"]["grpc"] == {"port": part.port, "service": service}
    # The empty name stands for the whole server.
    assert container["livenessProbe"]["grpc"] == {"port": part.port, "service": ""}


def test_probes_of_the_gateway_use_its_routes(name: str) -> None:
    container = server_of(overlay(name), "gateway")
    assert container["startupProbe"]["httpGet"]["path"] == "/live"
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    # Not /health, which depends on other parts.
    assert container["livenessProbe"]["httpGet"]["path"] == "/live"


@of_parts
def test_ports_are_those_of_the_settings(name: str, part: ServiceKind) -> None:
    manifests = overlay(name)
    ports = {port["name"]: port["containerPort"] for port in server_of(manifests, part.name)["ports"]}
    metrics_port = environment_of(manifests, part.name).get(f"PANTREE_{part.name.upper()}_METRICS_PORT")
    own = "http" if part.name == "gateway" else "grpc"
    probes = {"probes": 8001} if part.name == "gateway" else {}
    assert ports == {own: part.port} | probes | ({"metrics": int(metrics_port)} if metrics_port else {})
    service = named(manifests, "Service", part.name)["spec"]
    assert {"name": own, "port": part.port, "targetPort": own}.items() <= service["ports"][0].items()
    assert all(port["targetPort"] == own for port in service["ports"]), "metrics are scraped from pods"
    assert (service.get("clusterIP") == "None") == (part.name != "gateway")
    assert service["selector"] == {NAME: part.name}


@of_parts
def test_variables_are_settings_of_their_part(name: str, part: ServiceKind) -> None:
    variables = environment_of(overlay(name), part.name)
    assert set(variables) - set(environment_variables(settings_class(part))) == set()


@of_parts
def test_settings_accept_the_values(name: str, part: ServiceKind, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in environment_of(overlay(name), part.name).items():
        monkeypatch.setenv(variable, value)
    settings = settings_class(part)(_env_file=None)  # type: ignore[call-arg] # pydantic-settings' own
    assert settings.host == "0.0.0.0"
    assert settings.port == part.port


@of_parts
def test_addresses_are_those_of_headless_services(name: str, part: ServiceKind) -> None:
    manifests = overlay(name)
    ports = {kind.name: kind.port for kind in PARTS}
    variables = environment_of(manifests, part.name)
    addresses = {variable: value for variable, value in variables.items() if variable.endswith("_ADDRESS")}
    called = set()
    for variable, value in addresses.items():
        match = re.fullmatch(r"dns:///([a-z]+):(\d+)", value)
        assert match, f"{variable}={value}"
        assert named(manifests, "Service", match[1])["spec"]["clusterIP"] == "None"
        assert int(match[2]) == ports[match[1]]  # type: ignore[index] # a service's name is a part's
        called.add(match[1])
    assert called == {called for caller, called in ARCHITECTURE if caller == part.name}


@of_parts
def test_grace_period_exceeds_the_drain(name: str, part: ServiceKind) -> None:
    manifests = overlay(name)
    pod = pod_of(named(manifests, "Deployment", part.name))
    sleep = server_of(manifests, part.name)["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = float(environment_of(manifests, part.name)["PANTREE_DRAIN_SECONDS"])
    assert pod["terminationGracePeriodSeconds"] >= sleep + drain + 5


def test_drain_exceeds_the_call_timeouts(name: str) -> None:
    manifests = overlay(name)

    def seconds(part: str, variable: str) -> float:
        kind = next(kind for kind in PARTS if kind.name == part)
        field = environment_variables(settings_class(kind))[variable]
        default = settings_class(kind).model_fields[field].default
        return float(environment_of(manifests, part).get(variable, default))

    stream = seconds("gateway", "PANTREE_GATEWAY_STREAM_TIMEOUT_SECONDS")
    request = seconds("gateway", "PANTREE_GATEWAY_REQUEST_TIMEOUT_SECONDS")
    call = seconds("pipeline", "PANTREE_PIPELINE_CALL_SECONDS")
    for part in PART_NAMES:
        timeout = max(stream, request) if part in ("gateway", "pipeline") else call
        assert seconds(part, "PANTREE_DRAIN_SECONDS") >= timeout, part


def test_routes_time_out_after_the_gateway(name: str) -> None:
    manifests = overlay(name)
    stream = float(environment_of(manifests, "gateway")["PANTREE_GATEWAY_STREAM_TIMEOUT_SECONDS"])
    routes = list(of_kind(manifests, "Ingress", "HTTPRoute"))
    assert {route["metadata"]["name"] for route in routes} >= {"gateway"}
    for route in routes:
        if route["kind"] == "Ingress":
            annotations = route["metadata"]["annotations"]
            assert float(annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"]) > stream
            continue
        ports = {port["port"] for port in named(manifests, "Service", "gateway")["spec"]["ports"]}
        assert {backend["port"] for rule in route["spec"]["rules"] for backend in rule["backendRefs"]} == ports
        (websocket,) = [rule for rule in route["spec"]["rules"] if rule["matches"][0]["path"]["value"] == "/ws"]
        assert float(websocket["timeouts"]["request"].removesuffix("s")) > stream


def test_grpc_from_outside_goes_to_the_pipeline(name: str) -> None:
    manifests = overlay(name)
    (port,) = named(manifests, "Service", "pipeline")["spec"]["ports"]
    pipeline = next(part for part in PARTS if part.name == "pipeline")
    assert Connection("entry", "pipeline", pipeline.port) in ingress_connections(manifests)
    assert port["port"] == pipeline.port
    if is_production(name):
        (route,) = of_kind(manifests, "TLSRoute")
        (rule,) = route["spec"]["rules"]
        assert rule["backendRefs"] == [{"name": "pipeline", "port": pipeline.port}]
        # Callers send the certificate name in the handshake, and the Gateway routes by it.
        assert route["spec"]["hostnames"] == named(manifests, "Certificate", "pipeline")["spec"]["dnsNames"]
        return
    ingress = named(manifests, "Ingress", "pipeline")
    assert ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/backend-protocol"] == "GRPC"
    ((path,),) = [rule["http"]["paths"] for rule in ingress["spec"]["rules"]]
    assert path["backend"]["service"] == {"name": "pipeline", "port": {"name": port["name"]}}
    assert path["path"] == f"/{pipeline_pb2.DESCRIPTOR.services_by_name['PipelineService'].full_name}/"
    assert [host for tls in ingress["spec"]["tls"] for host in tls["hosts"]] == [ingress["spec"]["rules"][0]["host"]]


def test_deny_all_policy_exists(name: str) -> None:
    specification = named(overlay(name), "NetworkPolicy", "deny-all")["spec"]
    assert specification == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_connections_match_the_documents(name: str) -> None:
    manifests = overlay(name)
    ports = {part.name: part.port for part in PARTS}
    expected = {(caller, called, ports[called]) for caller, called in ARCHITECTURE}  # type: ignore[index]
    ingress, egress = ingress_connections(manifests), egress_connections(manifests)
    inside = {one for one in ingress if {one.caller, one.called} <= set(PART_NAMES)}
    assert inside == expected
    assert {one for one in egress if {one.caller, one.called} <= set(PART_NAMES)} == expected
    outside = {(one.caller, one.called) for one in (ingress | egress) - inside}
    assert outside <= OUTSIDE
    if is_production(name):
        store = ALTERNATIVES.get(name, ("", "", "milvus"))[2]
        stores = {"milvus", *(component for _, _, component in ALTERNATIVES.values())}
        assert outside == {(caller, called) for caller, called in OUTSIDE if called not in stores - {store}}


def test_connections_match_the_calls_that_certificates_allow(name: str) -> None:
    called_by = {
        called: {one.caller for one in ingress_connections(overlay(name)) if one.called == called}
        for called in ALLOWED_CALLERS
    }
    for called, callers in ALLOWED_CALLERS.items():
        if called in OPTIONAL_NAMES:  # tests/deploy/test_history.py
            continue
        entries = called_by[called] & {"entry"}
        # Callers from outside the mesh use the client certificate.
        assert not entries or CLIENT in callers
        assert called_by[called] - entries == callers - {CLIENT}


@of_parts
def test_certificate_has_the_name_that_callers_expect(name: str, part: ServiceKind) -> None:
    manifests = overlay(name)
    settings = settings_class(part)(_env_file=None)  # type: ignore[call-arg] # pydantic-settings' own
    variables = environment_of(manifests, part.name)
    folder = variables.get(f"PANTREE_{part.name.upper()}_TLS_DIR")
    assert (folder is not None) == is_production(name)
    if folder is None:
        return
    domain = variables.get("PANTREE_TLS_DOMAIN", settings.tls_domain)
    certificate = named(manifests, "Certificate", part.name)["spec"]
    assert certificate["dnsNames"] == [f"{part.name}.{domain}"]
    assert {"server auth", "client auth"} <= set(certificate["usages"])
    assert certificate["issuerRef"] == {"kind": "Issuer", "name": "authority"}

    pod = pod_of(named(manifests, "Deployment", part.name))
    (volume,) = pod["volumes"]
    (mount,) = server_of(manifests, part.name)["volumeMounts"]
    assert mount == {"name": volume["name"], "mountPath": folder, "readOnly": True}
    assert volume["secret"] == {"secretName": certificate["secretName"], "defaultMode": 0o440}
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]


def test_authority_signs_only_for_the_parts(name: str) -> None:
    manifests = overlay(name)
    certificates = {manifest["metadata"]["name"]: manifest["spec"] for manifest in of_kind(manifests, "Certificate")}
    assert set(certificates) == ({"authority", "redis", *PART_NAMES} if is_production(name) else set())
    if not is_production(name):
        return
    secrets = [certificate["secretName"] for certificate in certificates.values()]
    assert len(secrets) == len(set(secrets)), "two certificates in one Secret overwrite each other"
    assert [part for part, certificate in certificates.items() if certificate.get("isCA")] == ["authority"]
    assert named(manifests, "Issuer", "authority")["spec"] == {
        "ca": {"secretName": certificates["authority"]["secretName"]}
    }
    assert certificates["authority"]["issuerRef"]["name"] == "self-signed"
    assert named(manifests, "Issuer", "self-signed")["spec"] == {"selfSigned": {}}
    for certificate in certificates.values():
        assert hours(certificate["renewBefore"]) < hours(certificate["duration"])


def hours(duration: str) -> int:
    return int(duration.removesuffix("h"))


def test_metrics_of_every_part_are_scraped(name: str) -> None:
    manifests = overlay(name)
    monitors = list(of_kind(manifests, "PodMonitor"))
    assert len(monitors) == is_production(name)
    for monitor in monitors:
        assert monitor["spec"]["selector"] == EVERY_PART
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert (endpoint["port"], endpoint["path"]) == ("metrics", "/metrics")
        # The dashboard and the alert rules identify a part by its job.
        (relabeling,) = endpoint["relabelings"]
        assert relabeling["sourceLabels"] == ["__meta_kubernetes_pod_label_" + re.sub(r"\W", "_", NAME)]
        assert (relabeling["targetLabel"], relabeling["replacement"]) == ("job", "pantree-$1")
        (scraping,) = {one.port for one in ingress_connections(manifests) if one.caller == "prometheus"}
        for part in PART_NAMES:
            assert {"name": "metrics", "containerPort": scraping} in server_of(manifests, part)["ports"]


def test_parts_may_connect_to_the_trace_collector(name: str) -> None:
    manifests = overlay(name)
    endpoints = {environment_of(manifests, part).get("OTEL_EXPORTER_OTLP_ENDPOINT", "") for part in PART_NAMES}
    if not is_production(name):
        assert endpoints == {""}
        return
    (endpoint,) = endpoints
    collector = urlsplit(endpoint)
    expected = Connection("every part", str(collector.hostname).split(".")[0], collector.port or 0)
    assert expected in egress_connections(manifests)


def test_selector_of_every_part_matches_the_parts(name: str) -> None:
    (expression,) = EVERY_PART["matchExpressions"]
    selected = {
        workload["metadata"]["name"]
        for workload in of_kind(overlay(name), *WORKLOADS)
        if workload["spec"]["template"]["metadata"]["labels"].get(expression["key"]) in expression["values"]
    }
    assert selected == set(PART_NAMES)


def test_both_ends_of_a_connection_agree(name: str) -> None:
    manifests = overlay(name)
    inside = {str(workload["metadata"]["name"]) for workload in of_kind(manifests, *WORKLOADS)}
    accepted = {one for one in ingress_connections(manifests) if one.caller in inside}
    assert accepted == {one for one in egress_connections(manifests) if one.called in inside}


def test_manifests_contain_no_secret(name: str) -> None:
    manifests = overlay(name)
    assert list(of_kind(manifests, "Secret")) == []
    secret = re.compile(r"KEY|SECRET|TOKEN|PASSWORD")
    for settings in of_kind(manifests, "ConfigMap"):
        assert [key for key in settings["data"] if secret.search(key)] == []
    for container in containers(manifests):
        named_values = [entry["name"] for entry in container.get("env", []) if "value" in entry]
        assert [entry for entry in named_values if secret.search(entry)] == []


@of_parts
def test_external_secrets_hold_settings_of_their_part(name: str, part: ServiceKind) -> None:
    manifests = overlay(name)
    known = environment_variables(settings_class(part))
    for source in server_of(manifests, part.name)["envFrom"]:
        wanted = source.get("secretRef", {}).get("name")
        for secret in of_kind(manifests, "ExternalSecret"):
            if secret["spec"]["target"]["name"] == wanted:
                assert {entry["secretKey"] for entry in secret["spec"]["data"]} <= set(known)


def test_disruption_budgets_allow_one_pod_to_be_evicted_but_not_all(name: str) -> None:
    manifests = overlay(name)
    min_replicas = {
        scaler["spec"]["scaleTargetRef"]["name"]: scaler["spec"]["minReplicas"]
        for scaler in of_kind(manifests, "HorizontalPodAutoscaler")
    }
    budgets = {budget["metadata"]["name"]: budget["spec"] for budget in of_kind(manifests, "PodDisruptionBudget")}
    assert set(budgets) == set(min_replicas) == (set(PART_NAMES) if is_production(name) else set())
    for part, budget in budgets.items():
        assert budget["selector"]["matchLabels"] == {NAME: part}
        assert "minAvailable" not in budget
        assert 0 < budget["maxUnavailable"] < min_replicas[part]


@of_parts
def test_autoscaled_parts_have_no_fixed_replicas_and_are_spread(name: str, part: ServiceKind) -> None:
    manifests = overlay(name)
    deployment = named(manifests, "Deployment", part.name)
    if not list(of_kind(manifests, "HorizontalPodAutoscaler")):
        assert deployment["spec"].get("replicas", 1) == 1
        return
    assert "replicas" not in deployment["spec"], "every kubectl apply would undo the autoscaler"
    keys = {spread["topologyKey"] for spread in pod_of(deployment)["topologySpreadConstraints"]}
    assert keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
    classes = {manifest["metadata"]["name"] for manifest in of_kind(manifests, "PriorityClass")}
    assert pod_of(deployment)["priorityClassName"] in classes


def test_autoscalers_use_a_metric_of_the_part_and_the_adapter(name: str) -> None:
    offered = {
        rule["seriesQuery"].partition("{")[0]
        for rule in yaml.safe_load((ROOT / "k8s" / "monitoring" / "prometheus-adapter.yaml").read_text())["rules"][
            "custom"
        ]
    }
    metrics = {
        scaler["metadata"]["name"]: {metric["type"]: metric for metric in scaler["spec"]["metrics"]}
        for scaler in of_kind(overlay(name), "HorizontalPodAutoscaler")
    }
    assert set(metrics) == (set(PART_NAMES) if is_production(name) else set())
    requested = {part: kinds["Pods"]["pods"]["metric"]["name"] for part, kinds in metrics.items()}
    for part, metric in requested.items():
        assert metrics[part]["Resource"]["resource"]["name"] == "cpu"
        gauge = Metrics().in_flight if part == "gateway" else telemetry.CALLS_IN_FLIGHT
        assert [family.name for family in gauge.collect()] == [metric]
    assert set(requested.values()) in (offered, set())


def cores(quantity: str) -> Decimal:
    return Decimal(quantity.removesuffix("m")) / 1000 if quantity.endswith("m") else Decimal(quantity)


@of_parts
def test_resource_requests_are_within_the_limits(name: str, part: ServiceKind) -> None:
    resources = server_of(overlay(name), part.name)["resources"]
    assert cores(resources["requests"]["cpu"]) <= cores(resources["limits"]["cpu"])
    memory = {bound: int(resources[bound]["memory"].removesuffix("Mi")) for bound in ("requests", "limits")}
    assert memory["requests"] <= memory["limits"]


def measured(part: str) -> tuple[Decimal, Decimal]:
    """Peak memory in MiB and CPU time per request in milliseconds, from the table in k8s/README.md."""
    text = (ROOT / "k8s" / "README.md").read_text().partition("## Where the numbers come from")[2]
    (cells,) = re.findall(rf"^\| {part} \| [\d.]+ \| [\d.]+ \| ([\d.]+) \| ([\d.]+) \|$", text, re.MULTILINE)
    return Decimal(cells[0]), Decimal(cells[1])


@of_parts
def test_resources_match_the_measurements(name: str, part: ServiceKind) -> None:
    peak, milliseconds = measured(part.name)
    resources = server_of(overlay(name), part.name)["resources"]
    assert int(resources["requests"]["memory"].removesuffix("Mi")) >= peak
    assert int(resources["limits"]["memory"].removesuffix("Mi")) >= 2 * peak
    if is_production(name):
        five_a_second = 5 * milliseconds  # millicores
        assert 1000 * cores(resources["requests"]["cpu"]) == max(-(-five_a_second // 50) * 50, 100)


def test_every_component_is_used_and_no_manifest_is_duplicated(name: str) -> None:
    keys = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in overlay(name)]
    assert len(keys) == len(set(keys))
    files = [path.read_text() for path in (ROOT / "k8s").rglob("kustomization.yaml")]
    used = {Path(entry).name for text in files for entry in yaml.safe_load(text).get("components", [])}
    used |= {component for _, _, component in ALTERNATIVES.values()}
    used = used - {CHOICE} | set(ACCESS)
    # tests/deploy/test_history.py adds them.
    used |= {"history", "history-mtls", "history-postgresql", "history-webhooks"}
    # tests/deploy/test_batch.py adds them.
    used |= {"batch", "batch-spark", "batch-spark-kubeflow", "batch-spark-apache"}
    assert used == {folder.name for folder in (ROOT / "k8s" / "components").iterdir()}
