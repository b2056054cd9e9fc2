"""The tenant of a call: the retailer, from metadata that only the gateway and the mesh set."""

from pantree_runtime.grpc_types import Context
from pantree_runtime.validation import Violations, check_value

TENANT_METADATA = "x-pantree-tenant"
"""Metadata with the retailer's id; the gateway sets it for callers of a retailer."""


def tenant_of(context: Context) -> str:
    """The retailer of a call; empty for the default one.

    Raises:
        InvalidInput: the id is too long or has invisible characters.
    """
    tenant_id = str(dict(context.invocation_metadata() or ()).get(TENANT_METADATA, ""))
    check_tenant(tenant_id)
    return tenant_id


def check_tenant(tenant_id: str) -> None:
    """Raises `InvalidInput` if the id of a retailer is too long or has invisible characters."""
    violations = Violations()
    check_value("pantree.vector.v1.IndexHistoryRequest.tenant_id", tenant_id, TENANT_METADATA, violations)
    violations.raise_if_any()


def tenant_metadata(tenant_id: str) -> tuple[tuple[str, str], ...]:
    """Metadata of a call for a retailer."""
    return ((TENANT_METADATA, tenant_id),) if tenant_id else ()
