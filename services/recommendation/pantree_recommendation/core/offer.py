"""The subscription that the evidence supports, and what it saves."""

from dataclasses import dataclass

from pantree_domain.cadence import LADDER, Cadence, nearest_cadence
from pantree_domain.money import exact, floor_to_cent
from pantree_recommendation.core.candidate import Candidate

# Up to three intervals; below that, what is typical for such items still says something that the purchases do not.
PURCHASES_OF_THIN_EVIDENCE = 4

_DAYS_PER_YEAR = 365


@dataclass(frozen=True)
class Offer:
    """A subscription to an item."""

    cadence: Cadence
    supported_cadence: Cadence
    """The cadence that the purchases alone support; never longer than `cadence`."""
    quantity: int
    """Units per delivery."""
    discount_ratio: float
    estimated_annual_savings: float
    """In the currency of the price, whole cents, never above the exact value."""


def offer_of(candidate: Candidate, discount_ratio: float) -> Offer:
    """Subscription that the evidence supports.

    When the evidence is thin, and such items are typically bought less often by a step of the ladder or more, the
    cadence is one step longer: what a household really does outweighs what is typical, and a delivery too few does less
    harm than one too many. It is never shorter than what the purchases support.

    Args:
        candidate: the evidence, with at least one interval.
        discount_ratio: subscription's discount on the shelf price, 0 to 1.

    Raises:
        ValueError: when there is no interval.
    """
    if candidate.mean_interval_days is None:
        raise ValueError(f"{candidate.name!r} has no interval to choose a cadence from")
    supported = nearest_cadence(candidate.mean_interval_days)
    cadence = supported
    if (
        candidate.purchase_count <= PURCHASES_OF_THIN_EVIDENCE
        and candidate.suggested_interval_days is not None
        and nearest_cadence(candidate.suggested_interval_days).interval_days > supported.interval_days
    ):
        cadence = LADDER[LADDER.index(supported) + 1]
    return Offer(
        cadence=cadence,
        supported_cadence=supported,
        quantity=candidate.typical_quantity,
        discount_ratio=discount_ratio,
        estimated_annual_savings=annual_savings(
            candidate.latest_unit_price, candidate.typical_quantity, discount_ratio, cadence
        ),
    )


def annual_savings(unit_price: float, quantity: int, discount_ratio: float, cadence: Cadence) -> float:
    """Price × quantity × discount × 365 / interval, computed exactly and rounded down to a cent.

    1.99 weekly at 5 % gives 5.18.

    Args:
        unit_price: shelf price of one unit.
        quantity: units per delivery.
        discount_ratio: 0 to 1.
        cadence: how often it is delivered.
    """
    return floor_to_cent(exact(unit_price) * quantity * exact(discount_ratio) * _DAYS_PER_YEAR / cadence.interval_days)
