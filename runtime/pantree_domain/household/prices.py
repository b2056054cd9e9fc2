"""What a household lately paid for an item, robust to a single receipt."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Purchases that say what is paid lately.
MAX_PURCHASES = 8
# Shelf prices this close are one price; a smaller step is a rounding, a larger one a new price.
_SAME_PRICE_RATIO = 1.1
# A price this far from the others, once, is a slip or a pack of another size.
_OUTLIER_RATIO = 1.6
# Goods by weight have another price on nearly every receipt.
_MIN_DISTINCT_RATIO = 0.6
_MIN_PURCHASES_BY_WEIGHT = 4
_MIN_TO_JUDGE_OUTLIERS = 3
_MIN_TO_TRIM = 5


class ReferencePrice(NamedTuple):
    """Prices of one unit, as a household lately found and paid them."""

    shelf: float
    paid: float
    """Mean, promotions included."""
    deviation: float
    """Sample standard deviation of what was paid; 0 when it did not differ."""
    latest_paid: float
    purchase_count: int
    """Purchases behind it, at least 1."""
    by_weight: bool
    """Whether the price differs on nearly every receipt, so that no single one is the price."""


def reference_price(
    days: NDArray[np.int32], quantities: NDArray[np.int32], prices: NDArray[np.float64], savings: NDArray[np.float64]
) -> ReferencePrice | None:
    """The reference price of one item; None when it was never paid for.

    The last purchases at the present shelf price count, up to `MAX_PURCHASES`; the highest and the lowest payment do
    not, from five purchases on. When the shelf price has just changed, all of the last purchases count, but not for
    more than the latest payment.

    Args:
        days: int32[n], days since 1970-01-01, in any order.
        quantities: int32[n], units.
        prices: float64[n], shelf price of one unit.
        savings: float64[n], discount on the whole line.
    """
    shelf, paid = _by_day(days, quantities, prices, savings)
    if not len(shelf):
        return None
    shelf, paid = shelf[-MAX_PURCHASES:], paid[-MAX_PURCHASES:]
    typical = float(np.median(shelf))
    outlier = (shelf > typical * _OUTLIER_RATIO) | (shelf < typical / _OUTLIER_RATIO)
    # Two prices in a row are a new price, not an outlier.
    outlier &= ~np.append(_same(shelf[1:], shelf[:-1]), False) & ~np.append(False, _same(shelf[1:], shelf[:-1]))
    if 2 * outlier.sum() < len(shelf) and len(shelf) >= _MIN_TO_JUDGE_OUTLIERS:
        shelf, paid = shelf[~outlier], paid[~outlier]
    distinct_ratio = len(np.unique(shelf.round(2))) / len(shelf)
    by_weight = len(shelf) >= _MIN_PURCHASES_BY_WEIGHT and distinct_ratio > _MIN_DISTINCT_RATIO
    if by_weight:
        center = float(np.median(paid))
        return ReferencePrice(float(np.median(shelf)), center, _deviation(paid), center, len(paid), True)
    present = _same(shelf, shelf[-1])
    run = len(shelf) if present.all() else int(np.argmin(present[::-1]))
    latest = float(paid[-1])
    if run >= 2 or len(shelf) == 1:
        paid = paid[-run:]
        mean = _trimmed_mean(paid)
    else:
        mean = min(_trimmed_mean(paid), latest)
    return ReferencePrice(float(shelf[-1]), mean, _deviation(paid), latest, len(paid), False)


def _by_day(
    days: NDArray[np.int32], quantities: NDArray[np.int32], prices: NDArray[np.float64], savings: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shelf price and payment per unit on each day with a payment, latest last."""
    distinct, positions = np.unique(days, return_inverse=True)
    units = np.bincount(positions, weights=quantities, minlength=len(distinct))
    shelf = np.bincount(positions, weights=prices * quantities, minlength=len(distinct)) / units
    paid = shelf - np.bincount(positions, weights=savings, minlength=len(distinct)) / units
    return shelf[shelf > 0].round(9), np.maximum(paid[shelf > 0], 0.0).round(9)


def _same(some: NDArray[np.float64], others: NDArray[np.float64] | np.float64) -> NDArray[np.bool_]:
    return np.asarray((some <= others * _SAME_PRICE_RATIO) & (others <= some * _SAME_PRICE_RATIO))


def _trimmed_mean(paid: NDArray[np.float64]) -> float:
    chosen = np.sort(paid)[1:-1] if len(paid) >= _MIN_TO_TRIM else paid
    return round(float(chosen.mean()), 9)


def _deviation(paid: NDArray[np.float64]) -> float:
    return round(float(paid.std(ddof=1)), 9) if len(paid) > 1 else 0.0
