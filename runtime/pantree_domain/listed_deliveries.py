"""Shops often list the deliveries of a subscription among the purchases of a household."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

TOLERANCE_DAYS = 2
"""A delivery may be listed on the day of its order, of its dispatch or of its arrival."""


def units_not_delivered(purchases: Sequence[tuple[int, float]], delivered: Iterable[tuple[int, float]]) -> list[float]:
    """Units of each purchase that are not a delivery.

    A delivery is in the purchases of its day, or else of the closest days within two, up to its units.

    Args:
        purchases: day and units of each.
        delivered: day and units of each delivery.
    """
    came: defaultdict[int, float] = defaultdict(float)
    for day, units in delivered:
        came[day] += units
    left = [units for _, units in purchases]
    for distance in range(TOLERANCE_DAYS + 1):
        for number, (bought_on, _) in enumerate(purchases):
            for day in sorted({bought_on - distance, bought_on + distance} & came.keys()):
                units = min(came[day], left[number])
                came[day] -= units
                left[number] -= units
    return left
