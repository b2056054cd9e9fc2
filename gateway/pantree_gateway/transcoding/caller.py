"""The caller of a request, and what it may call, hold and count against."""

import ipaddress
import time
from dataclasses import dataclass
from typing import Any, cast

from starlette.types import Scope

from pantree.error.v1 import error_pb2
from pantree_gateway.transcoding.problem import ProblemError, problem_for

ALL_SCOPES = "*"
SHOP_SCOPE = "shop"
_STATE_KEY = "caller"


@dataclass(frozen=True)
class Caller:
    """The owner of an API key or token; without a name, an anonymous caller."""

    name: str = ""
    tenant: str = ""
    kind: str = ""
    """`key` or `token`; a key and a token of the same name are different callers."""
    customer_id: str = ""
    """The only customer whom the caller may name; empty for all."""
    expires_at: float | None = None
    """End of the token, in seconds since 1970; None for no end."""
    scopes: frozenset[str] = frozenset({ALL_SCOPES})
    """Parts whose methods may be called, such as `pipeline`; `*` for all. `shop` is for `check_may_state`."""
    rate_limit: str = ""
    """Rate limit of this caller; empty for the general one."""

    @property
    def identity(self) -> str:
        """Distinguishes the caller from all others, of all tenants; empty for anonymous callers."""
        return "\0".join((self.tenant, self.kind, self.name)) if self.name else ""

    def check_not_expired(self) -> None:
        """Raises a `ProblemError` with 401 if the token of the caller has ended since it was checked."""
        if self.expires_at is not None and time.time() > self.expires_at:
            detail = "the token has expired; connect again with a new one"
            raise ProblemError(problem_for(error_pb2.ERROR_REASON_UNAUTHENTICATED, detail))

    def check_customer(self, request: Any) -> None:
        """Raises a `ProblemError` with 403 if a request names a customer whom the caller may not name."""
        if self.customer_id and any(named != self.customer_id for named in customers_of(request)):
            detail = "the token is for another customer_id"
            raise ProblemError(problem_for(error_pb2.ERROR_REASON_PERMISSION_DENIED, detail))

    def check_may_call(self, component: str) -> None:
        """Raises a `ProblemError` with 403 if the caller lacks the scope for a part."""
        if ALL_SCOPES not in self.scopes and component not in self.scopes:
            detail = f"the key or token lacks the scope {component}; use one that has it"
            raise ProblemError(problem_for(error_pb2.ERROR_REASON_PERMISSION_DENIED, detail))

    @property
    def is_shop(self) -> bool:
        """Whether it is not limited to one customer, or has the scope `shop`."""
        return not self.customer_id or SHOP_SCOPE in self.scopes

    def check_may_state(self, method: str) -> None:
        """Checks that the caller may call a method that states what only the shop knows, such as a delivery.

        A token for one customer needs the scope `shop`, which `*` does not include. Otherwise customers could report
        deliveries, or take the order ids of others.

        Raises:
            ProblemError: 403 for the token of a customer.
        """
        if not self.is_shop:
            detail = (
                f"{method} is for the shop; use credentials that are not for one customer, or the scope {SHOP_SCOPE}"
            )
            raise ProblemError(problem_for(error_pb2.ERROR_REASON_PERMISSION_DENIED, detail))


ANONYMOUS = Caller()


def customers_of(message: Any) -> list[str]:
    """Customers that a message names: the fields `customer_id` of a message and of the messages in it."""
    found = []
    for field in message.DESCRIPTOR.fields:
        if field.name == "customer_id" and not field.is_repeated:
            found.append(getattr(message, field.name))
        elif field.message_type is not None and not field.is_repeated and message.HasField(field.name):
            found += customers_of(getattr(message, field.name))
    return found


def address_group(client: Any) -> str:
    """Who counts as one caller among those without credentials: an IPv4 address, or an IPv6 network of 64 bits."""
    address = str(client[0]) if client else ""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False).network_address)
    return str(parsed)


def caller_key(scope: Scope) -> str:
    """Key under which everything about the caller of a request is counted."""
    return caller_of(scope).identity or f"address\0{address_group(scope.get('client'))}"


def set_caller(scope: Scope, caller: Caller) -> None:
    """Stores the caller of a request in its ASGI scope."""
    scope.setdefault("state", {})[_STATE_KEY] = caller


def caller_of(scope: Scope) -> Caller:
    """The caller of a request; anonymous when authentication is off."""
    return cast(Caller, scope.get("state", {}).get(_STATE_KEY, ANONYMOUS))
