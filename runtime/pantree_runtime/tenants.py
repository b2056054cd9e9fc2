"""The tenant of a call: the retailer, from metadata that the gateway, the mesh and clients with a certificate set.

Clients may use only the tenants of their certificate.
"""

import functools
from contextvars import ContextVar
from typing import Any

import structlog
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from pantree_runtime import telemetry
from pantree_runtime.errors import PermissionDenied
from pantree_runtime.grpc_types import Context
from pantree_runtime.validation import Violations, check_value

_log = structlog.get_logger(__name__)

ALL_TENANTS = "*"
_TENANT_FIELD = "tenant_id"
_allowed: ContextVar[frozenset[str] | None] = ContextVar("allowed_tenants", default=None)

TENANT_METADATA = "x-pantree-tenant"
"""Metadata with the retailer's id; the gateway sets it for callers of a retailer."""


def tenant_of(context: Context) -> str:
    """The retailer of a call; empty for the default one.

    Raises:
        InvalidInput: the id is too long or has invisible characters.
        PermissionDenied: the caller may not use it.
    """
    tenant_id = str(dict(context.invocation_metadata() or ()).get(TENANT_METADATA, ""))
    check_tenant(tenant_id)
    check_allowed(tenant_id)
    return tenant_id


def set_allowed_tenants(tenants: frozenset[str] | None) -> None:
    """Sets the tenants that the caller of the current call may use; None for all."""
    _allowed.set(tenants)


def check_allowed(tenant_id: str) -> None:
    """Raises `PermissionDenied` if the caller of the current call may not use a tenant."""
    allowed = _allowed.get()
    if allowed is None or tenant_id in allowed or ALL_TENANTS in allowed:
        return
    telemetry.CALLS_REFUSED.labels("permission_denied").inc()
    _log.warning("caller refused", reason="its certificate does not name the tenant", tenant=tenant_id[:128])
    may = ", ".join(sorted(tenant or "the default one" for tenant in allowed))
    raise PermissionDenied(
        f"your certificate may not be used for the tenant {tenant_id[:128] or 'without a name'}, only for {may}"
    )


def check_tenants_in(message: Any) -> None:
    """Raises `PermissionDenied` if a request names a tenant that the caller of the current call may not use."""
    if _allowed.get() is None:
        return
    has_tenant, nested = _tenant_fields(message.DESCRIPTOR)
    if has_tenant:
        check_allowed(message.tenant_id)
    for field in nested:
        value = getattr(message, field.name)
        for part in value if field.is_repeated else [value] if message.HasField(field.name) else []:
            check_tenants_in(part)


@functools.cache
def _tenant_fields(descriptor: Descriptor) -> tuple[bool, tuple[FieldDescriptor, ...]]:
    """Whether a message names a tenant, and its fields with messages that may."""
    nested = tuple(field for field in descriptor.fields if field.message_type and _names_tenant(field.message_type))
    return _TENANT_FIELD in descriptor.fields_by_name, nested


def _names_tenant(descriptor: Descriptor, seen: frozenset[str] = frozenset()) -> bool:
    if _TENANT_FIELD in descriptor.fields_by_name:
        return True
    if descriptor.full_name in seen or descriptor.GetOptions().map_entry:
        return False
    inner = seen | {descriptor.full_name}
    return any(_names_tenant(field.message_type, inner) for field in descriptor.fields if field.message_type)


def check_tenant(tenant_id: str) -> None:
    """Raises `InvalidInput` if the id of a retailer is too long or has invisible characters."""
    violations = Violations()
    check_value("pantree.vector.v1.IndexHistoryRequest.tenant_id", tenant_id, TENANT_METADATA, violations)
    violations.raise_if_any()


def tenant_metadata(tenant_id: str) -> tuple[tuple[str, str], ...]:
    """Metadata of a call for a retailer."""
    return ((TENANT_METADATA, tenant_id),) if tenant_id else ()
