"""Who may call the gateway of an overlay, and the door of its probes."""

import subprocess

import pytest

from pantree_gateway.settings import GatewaySettings
from pantree_runtime.settings import environment_variables
from tests.deploy.manifests import ACCESS, ROOT, environment_of, kustomize, overlay, server_of


def test_prod_does_not_render_before_access_is_chosen() -> None:
    command = [*kustomize(), str(ROOT / "k8s" / "overlays" / "prod")]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode != 0
    assert "choose-access" in result.stderr


@pytest.mark.parametrize("access", ACCESS)
def test_gateway_starts_with_each_choice_of_access(access: str) -> None:
    manifests = overlay("prod", access)
    variables = environment_of(manifests, "gateway")
    assert variables["PANTREE_GATEWAY_HOST"] == "0.0.0.0"
    settings = {
        field: variables[variable]
        for variable, field in environment_variables(GatewaySettings).items()
        if variable in variables
    }
    GatewaySettings.model_validate(settings)
    if access == "access-keys":
        mounts = server_of(manifests, "gateway")["volumeMounts"]
        assert any(variables["PANTREE_GATEWAY_API_KEYS_FILE"].startswith(mount["mountPath"]) for mount in mounts)


def test_probes_of_the_gateway_have_their_own_port() -> None:
    server = server_of(overlay("dev"), "gateway")
    ports = {port["name"]: port["containerPort"] for port in server["ports"]}
    assert environment_of(overlay("dev"), "gateway")["PANTREE_GATEWAY_PROBE_PORT"] == str(ports["probes"])
    assert {server[name]["httpGet"]["port"] for name in ("startupProbe", "readinessProbe", "livenessProbe")} == {
        "probes"
    }
