"""How long purchases of tenants are kept, and how much tenants may store."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from pantree_runtime.errors import QuotaExceeded

RETENTION_DAYS = 3_650
"""Ten years: the longest time for which shops in Europe must keep receipts."""
IMPORT_PROGRESS_DAYS = 30
"""How long imports can be resumed."""


class Limits(NamedTuple):
    """Limits of a tenant; 0 is none."""

    retention_days: int = RETENTION_DAYS
    max_customers: int = 0
    max_lines: int = 0
    """Current lines."""
    max_lines_per_day: int = 0
    """New lines of a day in UTC."""

    @property
    def has_quotas(self) -> bool:
        """Whether there is any limit of what is stored."""
        return any((self.max_customers, self.max_lines, self.max_lines_per_day))

    def first_day(self, today: int) -> int | None:
        """The first day whose purchases are kept; None if all are."""
        return today - self.retention_days if self.retention_days else None


DEFAULT_LIMITS = Limits()


class Usage(NamedTuple):
    """What a tenant stores."""

    customers: int
    lines: int
    lines_of_day: int

    def check(self, limits: Limits, before: "Usage") -> None:
        """Checks the usage after a call.

        Raises:
            QuotaExceeded: the call made it exceed a limit.
        """
        for name, limit, was, now, noun, remedy in (
            ("max_customers", limits.max_customers, before.customers, self.customers, "customers", _LESS),
            ("max_lines", limits.max_lines, before.lines, self.lines, "lines", _LESS),
            (
                "max_lines_per_day",
                limits.max_lines_per_day,
                before.lines_of_day,
                self.lines_of_day,
                "lines a day",
                "go on tomorrow (UTC), or ask the operator for more",
            ),
        ):
            if limit and now > limit and now > was:
                raise QuotaExceeded(
                    f"the quota {name} is {limit:,} {noun}: {was:,} are used, and this call has {now - was:,} "
                    f"new ones; nothing of it was stored; {remedy}",
                    {"quota": name, "limit": str(limit)},
                )


_LESS = "erase customers or shorten the retention, or ask the operator for more"


class TenantLimits:
    """Limits of all tenants.

    Args:
        usual: of tenants without limits of their own.
        by_tenant: of the others.
    """

    def __init__(self, usual: Limits = DEFAULT_LIMITS, by_tenant: Mapping[str, Limits] | None = None) -> None:
        self._usual = usual
        self._by_tenant = by_tenant or {}

    def of(self, tenant_id: str) -> Limits:
        """Limits of a tenant."""
        return self._by_tenant.get(tenant_id, self._usual)


def parse_test_tenants(text: str) -> frozenset[str]:
    """Tenants with a test clock from JSON: a list of ids.

    Raises:
        ValueError: it is something else.
    """
    try:
        values = json.loads(text) if text else []
    except ValueError as error:
        raise ValueError(f"must be JSON: {error}") from error
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise ValueError('must be a list of tenants, such as ["sandbox"]')
    return frozenset(values)


def parse_tenants(text: str, usual: Limits) -> Mapping[str, Limits]:
    """Limits of tenants from JSON: an object of objects with names of `Limits`; what is missing is as usual.

    Raises:
        ValueError: it is something else.
    """
    try:
        values = json.loads(text) if text else {}
    except ValueError as error:
        raise ValueError(f"must be JSON: {error}") from error
    if not isinstance(values, dict) or not all(isinstance(one, dict) for one in values.values()):
        raise ValueError('must be an object by tenant, such as {"north": {"retention_days": 730}}')
    found = {}
    for tenant_id, limits in values.items():
        for name, value in limits.items():
            if name not in Limits._fields:
                raise ValueError(f"has {name!r} of tenant {tenant_id!r}; use {', '.join(Limits._fields)}")
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise ValueError(f"has {name} {value!r} of tenant {tenant_id!r}; it must be a whole number, 0 for none")
        found[tenant_id] = usual._replace(**limits)
    return found
