"""A request to plan again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from pantree_domain.money import minor_unit_digits
from pantree_recommendation.core.bundle import Bundle, bundle_of
from pantree_recommendation.core.plan import PlanConstraints, PlanItem
from pantree_recommendation.core.policy import Policy


@dataclass(frozen=True)
class PlanRequest:
    """The items to plan, and what the household demands. The mappings are by name of the item."""

    items: tuple[PlanItem, ...]
    """With distinct names."""
    as_of: date
    constraints: PlanConstraints
    currency_code: str
    price_dates: Mapping[str, str]
    units_per_pack: Mapping[str, int]
    identities: Mapping[str, tuple[str, str]]
    """The shop's id and the variant; empty when unknown."""


def plan(request: PlanRequest, policy: Policy) -> Bundle:
    """The plan of a request."""
    digits = minor_unit_digits(request.currency_code)
    return bundle_of(request.items, policy.plan_policy, request.as_of, request.constraints, digits)
